"""Datasets, and the loader that cuts them into batches.

`mnist()` finds MNIST on disk or downloads it, and checks it; `digits()` comes with the package.
`DataLoader` shuffles reproducibly, and can be resumed in the middle of an epoch.
"""

import gzip
import hashlib
import math
import os
import sys
import tempfile
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

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

IDX_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}

TIMEOUT_SECONDS = 10


class DataError(ValueError):
    """A data file that is truncated, altered or of another format."""


class DataUnavailable(DataError):
    """Data that lies nowhere on this machine and cannot be downloaded."""


class Dataset:
    """Arrays of one length N, read together: `dataset[index]` is a tuple of `array[index]`.

    An index is an integer, a slice, an array of integers or a boolean mask of shape (N,). Indexing
    follows NumPy: a slice is a view, an array of integers or a mask makes a copy.

    Raises ValueError for no arrays, arrays without axes, or different lengths; IndexError for an
    index that does not fit.

    >>> dataset = Dataset(np.eye(3), np.arange(3), classes=("x", "y", "z"))
    >>> points, labels = dataset[:2]
    >>> labels
    array([0, 1])
    """

    def __init__(self, *arrays, name="", classes=None):
        if not arrays:
            raise ValueError("[Dataset] got no arrays, expected at least one")
        self.arrays = tuple(np.asarray(array) for array in arrays)
        self.name = name
        self.classes = None if classes is None else tuple(classes)
        shapes = ", ".join(str(array.shape) for array in self.arrays)
        if any(array.ndim == 0 for array in self.arrays):
            raise ValueError(f"[Dataset] an array has no axis of samples (shapes: {shapes})")
        if len({len(array) for array in self.arrays}) > 1:
            raise ValueError(f"[Dataset] arrays differ in length (shapes: {shapes})")

    def __len__(self):
        return len(self.arrays[0])

    def __getitem__(self, index):
        if isinstance(index, tuple):
            raise IndexError(f"[Dataset] index {index} is a tuple; samples have one index")
        try:
            return tuple(array[index] for array in self.arrays)
        except IndexError as error:
            raise IndexError(f"[Dataset] index does not fit {len(self)} samples: {error}") from None

    def __repr__(self):
        arrays = ", ".join(f"{array.dtype} {array.shape}" for array in self.arrays)
        return f"Dataset({self.name!r}: {arrays})"


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

    Raises DataError for a damaged file in `root` or `$TINYGRAD_LIKE_DATA`, which is left as it is
    (a damaged file in the cache is downloaded again, with a warning); DataUnavailable where a file
    can be neither found nor downloaded.

    Source: Y. LeCun, C. Cortes and C. Burges, "The MNIST database of handwritten digits", 1998.
    """
    train_images, train_labels, test_images, test_labels = (
        _parse_idx(_find_mnist(name, root, progress), name) for name in MNIST_MD5
    )
    return (
        _image_dataset(train_images, train_labels, 255, "mnist train"),
        _image_dataset(test_images, test_labels, 255, "mnist test"),
    )


def _image_dataset(images, labels, white, name):
    """A Dataset of digits from uint8 images (N, H, W) in 0..white and their labels (N,)."""
    images = np.divide(images, white, dtype=np.float32)[:, None]
    return Dataset(images, labels.astype(np.int64), name=name, classes="0123456789")


def _find_mnist(name, root, progress):
    """The unpacked bytes of one MNIST file, from the first place that has it."""
    places = [
        Path(place).expanduser() for place in (root, os.environ.get("TINYGRAD_LIKE_DATA")) if place
    ]
    folders = [folder for place in places for folder in (place / "mnist", place)]
    for path in (folder / file for folder in folders for file in (f"{name}.gz", name)):
        if path.is_file():
            try:
                return _unpack(path.read_bytes(), name, path)
            except DataError as error:
                raise DataError(f"{error}; delete this file or download it again") from error

    cached = _cache_folder() / "mnist" / f"{name}.gz"
    if cached.is_file():
        try:
            return _unpack(cached.read_bytes(), name, cached)
        except (DataError, OSError) as error:
            warnings.warn(f"{error}; downloading it again", stacklevel=4)
    return _download_mnist(name, cached, [*folders, cached.parent], progress)


def _cache_folder():
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "tinygrad_like"


def _unpack(content, name, source):
    """The bytes of MNIST's file `name`, whose gzip (or plain) `content` was read from `source`."""
    if str(source).endswith(".gz"):
        try:
            content = gzip.decompress(content)
        except (EOFError, OSError, zlib.error) as error:
            raise DataError(f"[mnist] {source} is not a whole gzip file: {error}") from error
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if md5 != MNIST_MD5[name]:
        raise DataError(
            f"[mnist] {source} is truncated or altered: its {len(content):,} bytes unpacked have "
            f"md5 {md5}, expected {MNIST_MD5[name]}"
        )
    return content


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


def _download_mnist(name, cached, folders, progress):
    """Download one file from the first mirror that serves it intact, and keep it in the cache."""
    from http.client import HTTPException

    failures = []
    for mirror in MNIST_MIRRORS:
        url = f"{mirror}{name}.gz"
        try:
            packed = _get(url, progress)
            content = _unpack(packed, name, url)
        except DataError as error:
            failures.append(str(error).removeprefix("[mnist] "))
            continue
        except (HTTPException, OSError) as error:
            failures.append(f"{url}: {error}")
            continue
        try:
            _keep(packed, cached)
        except OSError as error:
            warnings.warn(
                f"[mnist] could not keep {cached} for the next time: {error}", stacklevel=5
            )
        return content
    raise DataUnavailable(
        f"[mnist] {name}.gz is not on this machine and could not be downloaded\n"
        f"  looked in: {', '.join(map(str, folders))}\n"
        f"  tried: {'; '.join(failures)}\n"
        f"Set TINYGRAD_LIKE_DATA to a folder with MNIST's four files, or use digits(), "
        f"which needs no download."
    )


def _get(url, progress):
    """The bytes at a URL, with a progress bar."""
    from tqdm import tqdm

    with _open(url) as response:
        total = response.length
        content = bytearray()
        label = url.rpartition("/")[2]
        with tqdm(total=total, desc=label, unit="B", unit_scale=True, disable=not progress) as bar:
            while chunk := response.read(1 << 16):
                content += chunk
                bar.update(len(chunk))
    if total is not None and len(content) < total:
        raise OSError(f"the connection ended after {len(content):,} of {total:,} bytes")
    return bytes(content)


def _open(url):
    """The response of a URL's server, or an OSError after ten seconds at most.

    urllib's own timeout holds for each of a server's addresses in turn, and not for looking up its
    name, so a machine behind a silent firewall would wait for minutes. The thread bounds the sum.
    """
    import queue
    import threading
    from urllib.error import HTTPError
    from urllib.request import urlopen

    answers: queue.SimpleQueue = queue.SimpleQueue()

    def ask():
        try:
            answers.put(urlopen(url, timeout=TIMEOUT_SECONDS))
        except Exception as error:
            answers.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=TIMEOUT_SECONDS)
    except queue.Empty:
        raise TimeoutError(f"no answer within {TIMEOUT_SECONDS} seconds") from None
    if isinstance(answer, HTTPError):
        answer.close()
    if isinstance(answer, Exception):
        raise answer
    return answer


def _keep(content, path):
    """Put a file in place in one step: a run that is killed midway never leaves half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


@dataclass
class _Position:
    """Where an epoch stands: `batch` is the number of its batches handed out."""

    epoch: int = 0
    batch: int = 0
    running: bool = False


class DataLoader:
    """Batches of a Dataset: each `for` loop over it is one epoch of tuples of NumPy arrays.

    Every batch is a fresh copy. With `shuffle`, the order of an epoch depends on `seed` and the
    epoch's number alone, so a run can be repeated and resumed. The last batch may be smaller;
    `drop_last` leaves it out.

    `state_dict()` says where the newest loop stands, also from inside it. After `load_state_dict`
    the next loop gives the batches that were still to come in that epoch (none, for a state taken
    at its last batch). A loop left by `break` is not continued: the next one is the next epoch.

    Raises TypeError for what is not a Dataset; ValueError for a batch size below 1, a seed outside
    0..2**64 - 1, and a dataset that gives no batch.

    >>> loader = DataLoader(Dataset(np.arange(5)), batch_size=2)
    >>> [batch.tolist() for (batch,) in loader]
    [[0, 1], [2, 3], [4]]
    """

    def __init__(self, dataset, batch_size=32, *, shuffle=False, seed=0, drop_last=False):
        if not isinstance(dataset, Dataset):
            kind = type(dataset).__name__
            raise TypeError(f"[DataLoader] got {kind}, expected a Dataset: try Dataset(x, y)")
        self.dataset = dataset
        self.batch_size = _integer("batch_size", batch_size, 1, sys.maxsize, "a positive integer")
        self.shuffle = bool(shuffle)
        self.seed = _integer("seed", seed, 0, 2**64 - 1, "an integer from 0 to 2**64 - 1")
        self.drop_last = bool(drop_last)
        self._position = _Position()
        if len(dataset) == 0:
            raise ValueError(f"[DataLoader] the dataset is empty: {dataset}")
        if len(self) == 0:
            raise ValueError(
                f"[DataLoader] drop_last leaves no batch: {len(dataset)} samples are fewer than "
                f"batch_size {self.batch_size}"
            )

    def __len__(self):
        """The number of batches in an epoch."""
        full, rest = divmod(len(self.dataset), self.batch_size)
        return full + (rest > 0 and not self.drop_last)

    @property
    def epoch(self):
        """The number of the current epoch, or between two loops of the next one; from 0."""
        return self._position.epoch

    def __iter__(self):
        if self._position.running:
            self._position = _Position(self._position.epoch + 1)
        self._position.running = True
        return self._batches(self._position)

    def _batches(self, position):
        # An older loop keeps its own position, so that it cannot disturb the state of a newer one.
        order = self._order(position.epoch)
        while position.batch < len(self):
            start = position.batch * self.batch_size
            position.batch += 1
            yield self.dataset[order[start : start + self.batch_size]]
        position.epoch, position.batch, position.running = position.epoch + 1, 0, False

    def _order(self, epoch):
        """The indices of all samples in the order of one epoch."""
        if not self.shuffle:
            return np.arange(len(self.dataset))
        key = np.array([self.seed, epoch], dtype=np.uint64)
        return np.random.Generator(np.random.Philox(key=key)).permutation(len(self.dataset))

    def state_dict(self):
        """The position (`epoch`, `batch`) and the settings that give it meaning, plain integers."""
        return {"epoch": self._position.epoch, "batch": self._position.batch, **self._settings()}

    def _settings(self):
        return {
            "seed": self.seed,
            "samples": len(self.dataset),
            "batch_size": self.batch_size,
            "shuffle": int(self.shuffle),
            "drop_last": int(self.drop_last),
        }

    def load_state_dict(self, state):
        """Stand where `state` was taken; raises ValueError if it fits another loader only."""
        expected = self.state_dict()
        if state.keys() != expected.keys():
            raise ValueError(f"[DataLoader] state has {sorted(state)}, expected {sorted(expected)}")
        for name, value in self._settings().items():
            if state[name] != value:
                raise ValueError(
                    f"[DataLoader] the state is of a loader with {name} {state[name]}, "
                    f"this one has {name} {value}"
                )
        self._position = _Position(
            _integer("state's epoch", state["epoch"], 0, 2**64 - 1, "an integer of 0 or more"),
            _integer("state's batch", state["batch"], 0, len(self), f"0 to {len(self)}"),
        )


def _integer(name, value, low, high, expected):
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"[DataLoader] {name} is {value!r}, expected {expected}")
    if not low <= value <= high:
        raise ValueError(f"[DataLoader] {name} is {value}, expected {expected}")
    return int(value)
