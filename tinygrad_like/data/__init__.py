"""Data: where it comes from, and how it is cut into batches.

    dataset.py    Dataset: arrays of samples, read together
    collections.py  ListDataset, Subset, ConcatDataset, MappedDataset; random_split
    samplers.py   WeightedSampler, BalancedSampler, BucketSampler: which samples, in what order
    collate.py    from samples to batches: stacked, or padded where their lengths differ
    loader.py     DataLoader: batches of a dataset, resumed in the middle of an epoch
    stream.py     StreamLoader: batches of samples that a generator gives
    wrapped.py    Map: a function of each batch; Prefetch: batches that a thread makes
    images.py     mnist, digits
    audio.py      read_wav; frames, mel_spectrogram and mel_filters of a sound
    text.py       tiny_shakespeare, text_corpus; Vocabulary, TextBatches
    subwords.py   SubwordVocabulary: tokens of WordPiece and of byte-level BPE, TokenBatch
    masking.py    mask_tokens: what a BERT is trained on
    fetch.py      finding a file on this machine, downloading it, checking it
    arguments.py  checks of arguments and of states

`mnist()` and `tiny_shakespeare()` are found on disk or downloaded, and checked; `digits()` and
`text_corpus()` need no network.
"""

from tinygrad_like.data.audio import frames, mel_filters, mel_spectrogram, read_wav
from tinygrad_like.data.collate import PadCollate, Padded, collate, pad_sequence
from tinygrad_like.data.collections import (
    ConcatDataset,
    ListDataset,
    MappedDataset,
    Subset,
    random_split,
)
from tinygrad_like.data.dataset import Dataset
from tinygrad_like.data.fetch import DataError, DataUnavailable
from tinygrad_like.data.images import digits, mnist
from tinygrad_like.data.loader import DataLoader
from tinygrad_like.data.masking import mask_tokens
from tinygrad_like.data.samplers import (
    BalancedSampler,
    BatchSampler,
    BucketSampler,
    Sampler,
    WeightedSampler,
)
from tinygrad_like.data.stream import StreamLoader
from tinygrad_like.data.subwords import SubwordVocabulary, TokenBatch
from tinygrad_like.data.text import TextBatches, Vocabulary, text_corpus, tiny_shakespeare
from tinygrad_like.data.wrapped import Map, Prefetch

__all__ = [
    "BalancedSampler",
    "BatchSampler",
    "BucketSampler",
    "ConcatDataset",
    "DataError",
    "DataLoader",
    "DataUnavailable",
    "Dataset",
    "ListDataset",
    "Map",
    "MappedDataset",
    "PadCollate",
    "Padded",
    "Prefetch",
    "Sampler",
    "StreamLoader",
    "Subset",
    "SubwordVocabulary",
    "TextBatches",
    "TokenBatch",
    "Vocabulary",
    "WeightedSampler",
    "collate",
    "digits",
    "frames",
    "mask_tokens",
    "mel_filters",
    "mel_spectrogram",
    "mnist",
    "pad_sequence",
    "random_split",
    "read_wav",
    "text_corpus",
    "tiny_shakespeare",
]
