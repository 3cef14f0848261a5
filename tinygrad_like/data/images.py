"""Images: MNIST, found or downloaded, and the small digits that come with the package."""

import math
from pathlib import Path

import numpy as np

from tinygrad_like.data.dataset import Dataset
from tinygrad_like.data.fetch import DataError, File, find

MNIST_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)

# The published checksums of the unpacked files.
MNIST_MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}

MNIST_ADVICE = (
    "Set TINYGRAD_LIKE_DATA to a folder with MNIST's four files, or use digits(), "
    "which needs no download."
)

IDX_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def digits():
    """1,797 handwritten digits of 8x8 pixels that come with the package: `(train, test)`.

    Images are float32 (N, 1, 8, 8) in [0, 1], labels int64 (N,). The first 1,437 are for training;
    the last 360, by other writers, are for the test.

    Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine
    Learning Repository, 1998, doi 10.24432/C50P49, licence CC BY 4.0. This is the copy in
    scikit-learn (the test set of the original), stored as uint8.

    >>> train, test = digits()
    >>> images, labels = train.arrays
    >>> images.shape
    (1437, 1, 8, 8)
    """
    with np.load(Path(__file__).with_name("digits.npz"), allow_pickle=False) as file:
        images, labels = file["images"], file["labels"]
    cut = 1437
    return (
        _image_dataset(images[:cut], labels[:cut], 16, "digits train"),
        _image_dataset(images[cut:], labels[cut:], 16, "digits test"),
    )


def mnist(root=None, *, progress=True):
    """MNIST, handwritten digits of 28x28 pixels: `(train, test)`, of 60,000 and 10,000 samples.

    Images are float32 (N, 1, 28, 28) in [0, 1], labels int64 (N,). The four IDX files, as gzip or
    unpacked, are looked for in `root`, then in `$TINYGRAD_LIKE_DATA` (each time in the folder
    `mnist` there, then in the folder itself), then in the user's cache folder. A file found in none
    of them is downloaded into the cache. Every file is checked against its published md5.

    Raises DataError for a damaged file in `root` or `$TINYGRAD_LIKE_DATA`, which is left unchanged
    (a damaged file in the cache is downloaded again, with a warning); DataUnavailable if a file
    can be neither found nor downloaded.

    Source: Y. LeCun, C. Cortes and C. Burges, "The MNIST database of handwritten digits", 1998.
    """
    train_images, train_labels, test_images, test_labels = (
        _parse_idx(_read_mnist(name, root, progress), name) for name in MNIST_MD5
    )
    return (
        _image_dataset(train_images, train_labels, 255, "mnist train"),
        _image_dataset(test_images, test_labels, 255, "mnist test"),
    )


def _image_dataset(images, labels, white, name):
    """A Dataset of digits from uint8 images (N, H, W) in 0..white and their labels (N,)."""
    images = np.divide(images, white, dtype=np.float32)[:, None]
    return Dataset(images, labels.astype(np.int64), name=name, classes="0123456789")


def _read_mnist(name, root, progress):
    """The unpacked bytes of one of MNIST's files."""
    file = File("mnist", "mnist", f"{name}.gz", "md5", MNIST_MD5[name], MNIST_MIRRORS, MNIST_ADVICE)
    return find(file, root, progress)


def _parse_idx(content, source):
    """The array in an IDX file: 0, 0, type code, number of axes, each axis's length, the values.

    Lengths are big-endian uint32, and the values are big-endian too (Y. LeCun, the MNIST page).
    """
    head, ndim = content[:4], content[3] if len(content) > 3 else 0
    start = 4 + 4 * ndim
    if len(content) < start or head[:2] != b"\0\0" or head[2] not in IDX_DTYPES:
        raise DataError(
            f"[mnist] {source} is not an IDX file: it starts with {head!r}, expected two zero "
            f"bytes, a type code (8 to 14), the number of axes and their lengths"
        )
    dtype = np.dtype(IDX_DTYPES[head[2]])
    shape = tuple(np.frombuffer(content, ">u4", count=ndim, offset=4).tolist())
    expected = math.prod(shape) * dtype.itemsize
    if len(content) - start != expected:
        raise DataError(
            f"[mnist] {source} holds {len(content) - start:,} bytes of values, expected "
            f"{expected:,} for the shape {shape} and the type {dtype.name} in its header"
        )
    values = np.frombuffer(content[start:], dtype).reshape(shape)
    return values.astype(dtype.newbyteorder("="))
