"""Event files for TensorBoard, written where tensorboard or tensorboardX is installed.

A file is a sequence of records: the length of the data, its checksum, the data, its checksum. The
data are Event messages of protocol buffers: wall_time = 1, step = 2, file_version = 3, summary = 5
(of values: tag = 1, simple_value = 2, image = 4, histo = 5, tensor = 8, metadata = 9), session_log
= 7. They are few and fixed, so they are written here, and a full disk is an OSError like any other,
not one in another package's thread.
"""

import importlib.util
import os
import struct
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np


def is_installed() -> bool:
    """Whether there is something that reads event files."""
    return any(importlib.util.find_spec(name) for name in ("tensorboard", "tensorboardX"))


class Events:
    """A new event file in a folder. Its methods raise OSError when the disk refuses.

    TensorBoard forgets what older files in the folder have of the steps from `step` on: a run that
    goes on from a checkpoint logs them again.
    """

    def __init__(self, folder: Path, step: int):
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{time.time_ns()}.{os.getpid()}"
        self._file: Any = open(folder / name, "xb")  # noqa: SIM115
        self._add(_bytes(3, b"brain.Event:2"))
        self._add(_integer(2, step) + _bytes(7, _integer(1, 1)))  # START, which forgets

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        """Note a value of a step, as float32: a larger one is infinite."""
        with np.errstate(over="ignore"):
            self._add_value(tag, b"\x15" + struct.pack("<f", np.float32(value)), step)

    def add_histogram(self, tag: str, values: np.ndarray, step: int) -> None:
        """Note the distribution of the finite values of an array, in 64 bins."""
        values = values.astype(np.float64).ravel()
        values = values[np.isfinite(values)]
        if not values.size:
            return
        ends = _bins(values.min(), values.max())
        counts = np.histogram(values, ends)[0].astype(np.float64)
        with np.errstate(over="ignore"):  # a sum may be infinite
            sums = [values.min(), values.max(), values.size, values.sum(), (values**2).sum()]
        fields = b"".join(_double(i, float(x)) for i, x in enumerate(sums, 1))
        fields += _bytes(6, ends[1:].tobytes()) + _bytes(7, counts.tobytes())
        self._add_value(tag, _bytes(5, fields), step)

    def add_picture(self, tag: str, pixels: np.ndarray, step: int) -> None:
        """Note a picture of bytes, (H, W) or (H, W, 3)."""
        from tinygrad_like.pictures import png

        height, width = pixels.shape[:2]
        channels = 3 if pixels.ndim == 3 else 1
        fields = _integer(1, height) + _integer(2, width) + _integer(3, channels)
        self._add_value(tag, _bytes(4, fields + _bytes(4, png.encode(pixels))), step)

    def add_text(self, tag: str, text: str, step: int) -> None:
        """Note a text: a tensor of one string (DT_STRING = 7), for the plugin `text`."""
        tensor = _integer(1, 7) + _bytes(2, _bytes(2, _integer(1, 1)))
        tensor += _bytes(8, text.encode("utf-8", "replace"))
        metadata = _bytes(1, _bytes(1, b"text"))
        self._add_value(f"{tag}/text_summary", _bytes(9, metadata) + _bytes(8, tensor), step)

    def add_settings(self, settings: dict[str, Any]) -> None:
        """Note the settings of the run as its hyper-parameters, for the plugin `hparams`.

        The message is HParamsPluginData with a SessionStartInfo (3), whose hparams (1) are a map.
        Lists, dicts and None are shown as text.
        """
        pairs = [
            _bytes(1, _bytes(1, str(name).encode("utf-8", "replace")) + _bytes(2, _value(x)))
            for name, x in settings.items()
        ]
        info = b"".join(pairs) + _double(5, time.time())
        plugin = _bytes(1, b"hparams") + _bytes(2, _bytes(3, info))
        self._add_value("_hparams_/session_start_info", _bytes(9, _bytes(1, plugin)), 0)

    def _add_value(self, tag: str, fields: bytes, step: int) -> None:
        item = _bytes(1, tag.encode("utf-8", "replace")) + fields
        self._add(_integer(2, step) + _bytes(5, _bytes(1, item)))

    def _add(self, fields: bytes) -> None:
        data = b"\x09" + struct.pack("<d", time.time()) + fields
        length = struct.pack("<Q", len(data))
        self._file.write(length + _checksum(length) + data + _checksum(data))
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def _varint(n: int) -> bytes:
    """An integer in groups of 7 bits, the lowest first; the high bit says that more follow."""
    found = bytearray()
    while n > 127:
        found.append(n & 127 | 128)
        n >>= 7
    return bytes([*found, n])


def _integer(field: int, n: int) -> bytes:
    return _varint(field << 3) + _varint(n)


def _bytes(field: int, data: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _double(field: int, x: float) -> bytes:
    return _varint(field << 3 | 1) + struct.pack("<d", x)


def _value(x: Any) -> bytes:
    """A setting as google.protobuf.Value: number = 2, string = 3, bool = 4."""
    if isinstance(x, bool):
        return _integer(4, x)
    with suppress(OverflowError):  # of an integer that no float can be: shown as text
        if isinstance(x, (int, float)):
            return _double(2, float(x))
    return _bytes(3, str(x).encode("utf-8", "replace"))


def _bins(least: float, most: float) -> np.ndarray:
    """The ends of 64 bins; of equal values, those of a narrow range around them."""
    share = np.linspace(0, 1, 65)
    ends = least * (1 - share) + most * share  # the difference of huge values may be infinite
    if np.all(np.diff(ends) > 0):
        return ends
    margin = max(abs(least), abs(most)) * 1e-6 or 1e-6
    return np.linspace(least - margin, most + margin, 65)


def _table() -> list[int]:
    found = []
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)
        found.append(n)
    return found


CRC32C = _table()


def _checksum(data: bytes) -> bytes:
    """The masked CRC32C of a record."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ CRC32C[(crc ^ byte) & 255]
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
