"""Event files for TensorBoard, written where tensorboard or tensorboardX is installed.

A file is a sequence of records: the length of the data, its checksum, the data, its checksum. The
data are Event messages of protocol buffers: wall_time = 1, step = 2, file_version = 3, summary = 5
(of values: tag = 1, simple_value = 2), session_log = 7. They are few and fixed, so they are written
here, and a full disk is an OSError like any other, not one in another package's thread.
"""

import importlib.util
import os
import struct
import time
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
            item = _bytes(1, tag.encode()) + b"\x15" + struct.pack("<f", np.float32(value))
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
