"""Data: where it comes from, and how it is cut into batches.

    dataset.py    Dataset: arrays of samples, read together
    loader.py     DataLoader: shuffled batches of a Dataset, resumed in the middle of an epoch
    images.py     mnist, digits
    text.py       tiny_shakespeare, text_corpus; Vocabulary, TextBatches
    fetch.py      finding a file on this machine, downloading it, checking it
    arguments.py  checks of arguments and of states

`mnist()` and `tiny_shakespeare()` are found on disk or downloaded, and checked; `digits()` and
`text_corpus()` need no network.
"""

from tinygrad_like.data.dataset import Dataset
from tinygrad_like.data.fetch import DataError, DataUnavailable
from tinygrad_like.data.images import digits, mnist
from tinygrad_like.data.loader import DataLoader
from tinygrad_like.data.text import TextBatches, Vocabulary, text_corpus, tiny_shakespeare

__all__ = [
    "DataError",
    "DataLoader",
    "DataUnavailable",
    "Dataset",
    "TextBatches",
    "Vocabulary",
    "digits",
    "mnist",
    "text_corpus",
    "tiny_shakespeare",
]
