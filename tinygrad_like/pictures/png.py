"""PNG files: a matrix as a small picture, and any picture of bytes as a file."""

import struct
import zlib

import numpy as np

LARGEST = 128  # pixels along an axis; of a larger matrix, every second or third row is shown
NAN = (255, 0, 255)


def encode(pixels: np.ndarray) -> bytes:
    """A PNG file of bytes (H, W), grey, or (H, W, 3), red, green and blue."""
    height, width = pixels.shape[:2]
    colours = pixels.ndim == 3
    rows = np.ascontiguousarray(pixels, np.uint8).reshape(height, -1)
    plain = np.concatenate([np.zeros((height, 1), np.uint8), rows], axis=1)  # rows as they are
    header = struct.pack(">IIBBBBB", width, height, 8, 2 if colours else 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        _chunk(kind, data)
        for kind, data in (
            (b"IHDR", header),
            (b"IDAT", zlib.compress(plain.tobytes())),
            (b"IEND", b""),
        )
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def of_matrix(matrix: np.ndarray) -> bytes:
    """A PNG file of a matrix of real numbers, from its least value to its largest.

    Values of one sign are grey, the largest one white; of both signs, blue below 0, red above,
    and 0 is white. NaN is magenta, and infinite values have the colour of the extremes.
    """
    values = matrix.astype(np.float64)
    finite = values[np.isfinite(values)]
    least, most = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
    with np.errstate(all="ignore"):
        if least < 0 < most:
            largest = max(-least, most)
            share = np.clip(values / largest, -1, 1)
            pale = 1 - np.abs(share)
            parts = [np.where(share < 0, pale, 1), pale, np.where(share > 0, pale, 1)]
            colours = np.stack(parts, axis=-1)
        else:  # halves, as the difference of huge values may be infinite
            span = most / 2 - least / 2
            share = np.clip((values / 2 - least / 2) / (span or 1.0), 0, 1)
            colours = np.repeat(share[..., None], 3, axis=-1)
        pixels = np.nan_to_num(np.rint(255 * colours)).astype(np.uint8)
    pixels[np.isnan(values)] = NAN
    return encode(pixels)


def thinned(array: np.ndarray) -> np.ndarray:
    """Every n-th row and column of a matrix (of any device) that has too many for a picture."""
    steps = [-(-length // LARGEST) for length in array.shape]
    return array[:: steps[0], :: steps[1]]
