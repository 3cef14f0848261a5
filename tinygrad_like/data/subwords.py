"""Subwords: pieces of words as tokens, learned from texts or read from a tokenizer.json.

The library `tokenizers` does the work: pip install 'tinygrad-like[text]'. It is loaded on use.
"""

import copy
import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tinygrad_like import files
from tinygrad_like.data import arguments
from tinygrad_like.data.collate import pad_sequence
from tinygrad_like.data.fetch import DataError
from tinygrad_like.engine import check_flag

SPECIAL = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"  # BERT's, in the order of their numbers
END = "<|endoftext|>"  # GPT-2's
SHOWN = 40  # characters of a text in an error message


class TokenBatch(NamedTuple):
    """Texts, or pairs of texts, as a model with segments takes them; each array is (N, T).

    `ids` int64, `segments` int64 (0 for the first text of a pair, 1 for the second), `padding`
    booleans, True where there is no token, as the `key_padding_mask` of attention has it.
    """

    ids: np.ndarray
    segments: np.ndarray
    padding: np.ndarray


class SubwordVocabulary:
    """Tokens that are words or pieces of words, and their numbers.

    It is made by `train_wordpiece` (BERT's tokens), by `train_bpe` (GPT-2's), or by `load` from a
    tokenizer.json, such as Hugging Face's models have. `tokenizer` is the `tokenizers.Tokenizer`
    that does the work, for all that is not here. `json` is all of it as a string:
    `SubwordVocabulary(vocabulary.json)` is the same vocabulary.

    The name of a special token, such as "[MASK]", is that token wherever a text has it.

    Raises ImportError without the library; DataError for a string that is no tokenizer; TypeError
    for what is neither a string nor a tokenizer.

    >>> vocabulary = SubwordVocabulary.train_wordpiece(["a cat sat", "a cat ran"], 40)
    >>> vocabulary.tokens(vocabulary.encode("A cat!"))
    ['a', 'cat', '[UNK]']
    >>> vocabulary.decode(vocabulary.encode("a cat"))
    'a cat'
    >>> batch = vocabulary.batch(["a cat", "a"], ["ran", "sat"])
    >>> [vocabulary.tokens(row) for row in batch.ids]
    ... # doctest: +NORMALIZE_WHITESPACE
    [['[CLS]', 'a', 'cat', '[SEP]', 'ran', '[SEP]'],
     ['[CLS]', 'a', '[SEP]', 'sat', '[SEP]', '[PAD]']]
    >>> batch.segments.tolist()
    [[0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 0]]
    """

    def __init__(self, tokenizer: Any):
        library = _library()
        if isinstance(tokenizer, str):
            tokenizer = _read(library, tokenizer, "the string")
        if not isinstance(tokenizer, library.Tokenizer):
            raise TypeError(
                f"[SubwordVocabulary] tokenizer is a {type(tokenizer).__name__}, expected a "
                "tokenizers.Tokenizer or the JSON of one; load(path) reads a file"
            )
        self.tokenizer = tokenizer
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()

    @classmethod
    def train_wordpiece(
        cls,
        texts: Iterable[str],
        size: int,
        *,
        lowercase: bool = True,
        special: Sequence[str] = SPECIAL,
    ) -> "SubwordVocabulary":
        """Learn WordPiece tokens, BERT's: whole words, and pieces such as "##ing" that go on one.

        Args:
            texts: strings to learn from, in a list or another iterable, which is read once.
            size: the number of tokens, at most, with the special ones and all characters.
            lowercase: whether case and accents are left out.
            special: tokens that get the first numbers; BERT's have to be among them. A word with
                characters that no text had is "[UNK]".

        Raises ValueError for texts without a word, for a size that is too small for the characters
        in them, and for special tokens without BERT's; TypeError for texts that are not strings.

        Source: Schuster and Nakajima 2012, "Japanese and Korean voice search".
        """
        name, library = "train_wordpiece", _library()
        lowercase = check_flag(name, "lowercase", lowercase)
        lacking = [token for token in SPECIAL if token not in special]
        if lacking:
            raise ValueError(f"[{name}] special lacks {', '.join(lacking)}, expected all of BERT's")
        texts = _checked_texts(name, texts)
        tokenizer = library.Tokenizer(library.models.WordPiece(unk_token="[UNK]"))
        tokenizer.normalizer = library.normalizers.BertNormalizer(lowercase=lowercase)
        tokenizer.pre_tokenizer = library.pre_tokenizers.BertPreTokenizer()
        tokenizer.decoder = library.decoders.WordPiece()
        tokenizer.post_processor = library.processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[(token, list(special).index(token)) for token in ("[CLS]", "[SEP]")],
        )
        # The trainer numbers the characters that go on a word in another order every time, and so
        # breaks ties differently, unless they have their numbers already.
        further = [f"##{letter}" for letter in _letters_within(tokenizer, texts)]
        trainer = library.trainers.WordPieceTrainer
        trained = copy.deepcopy(tokenizer)
        _train(name, trained, trainer, texts, size, [*special, *further])
        tokenizer.model = trained.model
        tokenizer.add_special_tokens([*special])
        return cls(tokenizer)

    @classmethod
    def train_bpe(
        cls, texts: Iterable[str], size: int, *, special: Sequence[str] = (END,)
    ) -> "SubwordVocabulary":
        """Learn byte-level BPE tokens, GPT-2's: bytes, and the pairs of tokens that occur most.

        Every string has tokens, and decoding gives it back exactly.

        Args:
            texts: strings to learn from, in a list or another iterable, which is read once.
            size: the number of tokens, at most: at least 256, the bytes, and the special ones.
            special: tokens that get the first numbers.

        Raises ValueError for texts without a word and for a size that is too small; TypeError for
        texts that are not strings.

        Source: Sennrich et al. 2016, "Neural machine translation of rare words with subword units";
        on bytes: Radford et al. 2019, "Language models are unsupervised multitask learners".

        >>> vocabulary = SubwordVocabulary.train_bpe(["low lower lowest"] * 3, 265)
        >>> vocabulary.tokens(vocabulary.encode("low lower"))
        ['low', 'Ġlower']
        >>> vocabulary.decode(vocabulary.encode("naïve 日本"))
        'naïve 日本'
        """
        name, library = "train_bpe", _library()
        tokenizer = library.Tokenizer(library.models.BPE())
        tokenizer.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = library.decoders.ByteLevel()
        alphabet = library.pre_tokenizers.ByteLevel.alphabet()
        trainer = partial(library.trainers.BpeTrainer, initial_alphabet=alphabet)
        texts = _checked_texts(name, texts)
        _train(name, tokenizer, trainer, texts, size, [*special])
        return cls(tokenizer)

    @classmethod
    def load(cls, path: "str | os.PathLike[str]") -> "SubwordVocabulary":
        """The vocabulary of a tokenizer.json, or of the folder that it lies in.

        Raises FileNotFoundError for no such file, DataError for one that is no tokenizer.

        >>> SubwordVocabulary.load("bert-base-uncased/tokenizer.json")  # doctest: +SKIP
        SubwordVocabulary(WordPiece, 30522 tokens)
        """
        library, file = _library(), Path(path)
        file = file / "tokenizer.json" if file.is_dir() else file
        if not file.is_file():
            raise FileNotFoundError(f"[load] there is no file {file}, expected a tokenizer.json")
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"[load] {file} is no tokenizer.json: {error}") from None
        return cls(_read(library, text, str(file)))

    def save(self, path: "str | os.PathLike[str]") -> None:
        """Write a tokenizer.json, which `load` and Hugging Face's libraries read, whole or not."""
        files.write(path, self.json.encode())

    @property
    def json(self) -> str:
        """All of it as a string, for a checkpoint."""
        return self.tokenizer.to_str()

    def __len__(self) -> int:
        return self.tokenizer.get_vocab_size()

    def __repr__(self) -> str:
        model = type(self.tokenizer.model).__name__
        return f"SubwordVocabulary({model}, {len(self)} tokens)"

    def id(self, token: str) -> int:
        """The number of a token; KeyError, naming it, if there is no such token."""
        number = self.tokenizer.token_to_id(token)
        if number is None:
            raise KeyError(f"[id] there is no token {token!r} in {self!r}")
        return number

    def tokens(self, ids: Any) -> list[str]:
        """The tokens with these numbers (N,), as strings."""
        return [self.tokenizer.id_to_token(i) for i in self._checked("tokens", ids)]

    def encode(self, text: str) -> np.ndarray:
        """The numbers of the tokens of a string, int64 (N,), without special tokens around them.

        Raises ValueError for a text without a token.
        """
        _check_text("encode", "the text", text)
        ids = self.tokenizer.encode(text, add_special_tokens=False).ids
        if not ids:
            raise ValueError(f"[encode] the text has no token: {text[:SHOWN]!r}")
        return np.array(ids, np.int64)

    def decode(self, ids: Any) -> str:
        """The string of tokens with these numbers (N,), special tokens left out.

        Raises TypeError if `ids` are not integers, IndexError if one is out of range.
        """
        return self.tokenizer.decode(self._checked("decode", ids))

    def batch(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        length: int | None = None,
    ) -> TokenBatch:
        """Texts, or pairs of them, with their special tokens, padded to the longest.

        Args:
            texts: N strings.
            pairs: N strings that follow them as second segments.
            length: at most so many tokens for each, special ones included; of a pair the longer
                text is cut first.

        Raises ValueError for no texts, a text without a token, as many pairs as there are no texts
        for, and a length with no room for a token; TypeError for texts that are not strings.
        """
        texts = self._texts("texts", texts)
        if pairs is not None and len(pairs := self._texts("pairs", pairs)) != len(texts):
            raise ValueError(f"[batch] there are {len(texts)} texts and {len(pairs)} pairs")
        special = self.tokenizer.num_special_tokens_to_add(pairs is not None)
        if length is not None:
            least = special + (1 if pairs is None else 2)
            if arguments.positive("batch", "length", length) < least:
                raise ValueError(
                    f"[batch] length is {length}, expected at least {least}: {special} special "
                    "tokens, and one of each text"
                )
            self.tokenizer.enable_truncation(length)
        try:
            both = texts if pairs is None else [*zip(texts, pairs, strict=True)]
            encodings = self.tokenizer.encode_batch(both)
        finally:
            self.tokenizer.no_truncation()
        for text, encoding in zip(both, encodings, strict=True):
            of = set(encoding.sequence_ids) - {None}
            if len(of) < (1 if pairs is None else 2):
                raise ValueError(f"[batch] a text has no token: {text!r:.{2 * SHOWN}}")
        fill = self.tokenizer.token_to_id(SPECIAL[0]) or 0
        ids, _, padding = pad_sequence([e.ids for e in encodings], padding_value=fill)
        return TokenBatch(ids, pad_sequence([e.type_ids for e in encodings]).values, padding)

    def _texts(self, name: str, texts: Any) -> list[str]:
        if isinstance(texts, str):
            raise TypeError(f"[batch] {name} is a string, expected a list of strings")
        texts = list(texts)
        if not texts:
            raise ValueError(f"[batch] {name} is empty, expected at least one string")
        for i, text in enumerate(texts):
            _check_text("batch", f"{name}[{i}]", text)
        return texts

    def _checked(self, owner: str, ids: Any) -> list[int]:
        ids = np.asarray(ids)
        if ids.size and (ids.dtype.kind not in "iu" or ids.ndim > 1):
            raise TypeError(
                f"[{owner}] ids are {ids.dtype} {ids.shape}, expected integers of shape (N,)"
            )
        wrong = ids[(ids < 0) | (ids >= len(self))]
        if wrong.size:
            raise IndexError(
                f"[{owner}] there is no token {wrong[0]}, expected 0 to {len(self) - 1}"
            )
        return np.atleast_1d(ids).tolist()


def _library() -> Any:
    try:
        import tokenizers
        import tokenizers.decoders
        import tokenizers.models
        import tokenizers.normalizers
        import tokenizers.pre_tokenizers
        import tokenizers.processors
        import tokenizers.trainers
    except ImportError as error:
        raise ImportError(
            f"[SubwordVocabulary] {error}; pip install 'tinygrad-like[text]' brings it"
        ) from error
    return tokenizers


def _read(library: Any, text: str, what: str) -> Any:
    try:
        return library.Tokenizer.from_str(text)
    except Exception as error:  # tokenizers raises no narrower type
        raise DataError(
            f"[SubwordVocabulary] {what} is no tokenizer.json, or a damaged one: {error}"
        ) from None


def _check_text(owner: str, name: str, text: Any) -> None:
    if not isinstance(text, str):
        raise TypeError(f"[{owner}] {name} is a {type(text).__name__}, expected a string")


def _checked_texts(name: str, texts: Iterable[str]) -> list[str]:
    """The texts as a list, if there is anything to learn from."""
    if isinstance(texts, str):
        raise TypeError(f"[{name}] texts is a string, expected an iterable of strings")
    texts = list(texts)
    for i, text in enumerate(texts):
        _check_text(name, f"text {i}", text)
    if not any(text.strip() for text in texts):
        raise ValueError(f"[{name}] the texts have no word: there is nothing to learn from")
    return texts


def _letters_within(tokenizer: Any, texts: list[str]) -> list[str]:
    """The characters that occur in words, not at their starts, sorted."""
    words = {word for text in texts for word in text.split()}
    text = tokenizer.normalizer.normalize_str(" ".join(words))
    found = tokenizer.pre_tokenizer.pre_tokenize_str(text)
    return sorted({letter for word, _ in found for letter in word[1:]})


def _train(
    name: str,
    tokenizer: Any,
    trainer: Callable[..., Any],
    texts: list[str],
    size: int,
    special: list[str],
) -> None:
    """Train a tokenizer to so many tokens, or fewer if the texts have no more."""
    size = arguments.positive(name, "size", size)
    settings = {"vocab_size": size, "special_tokens": special, "show_progress": False}
    tokenizer.train_from_iterator(texts, trainer(**settings))
    if tokenizer.get_vocab_size() > size:
        raise ValueError(
            f"[{name}] size is {size}, expected at least {tokenizer.get_vocab_size()}: as many are "
            "the special tokens and the distinct characters"
        )
