"""Text: a corpus to learn from, its characters as numbers, and random crops of it."""

from functools import partial

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tinygrad_like.data import arguments
from tinygrad_like.data.arguments import DRAWN
from tinygrad_like.data.fetch import DataUnavailable, File, find
from tinygrad_like.data.loader import Batches

SHAKESPEARE = File(
    dataset="tiny_shakespeare",
    folder="tinyshakespeare",
    name="input.txt",
    algorithm="sha256",
    digest="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
    mirrors=(
        "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/",
        "https://cdn.jsdelivr.net/gh/karpathy/char-rnn@master/data/tinyshakespeare/",
    ),
    advice="Set TINYGRAD_LIKE_DATA to a folder with tinyshakespeare/input.txt, or use "
    "text_corpus(), which needs no download.",
)

NAMED_AT_MOST = 10  # characters in an error message


def tiny_shakespeare(root=None, *, progress=True):
    """Passages from Shakespeare's plays, one string of 1,115,394 characters, 65 of them distinct.

    `input.txt` is looked for in `root`, then in `$TINYGRAD_LIKE_DATA` (each time in the folder
    `tinyshakespeare` there, then in the folder itself), then in the user's cache folder; found in
    none of them, it is downloaded into the cache. It is checked against its sha256.

    Raises DataError for a damaged file in `root` or `$TINYGRAD_LIKE_DATA`, which is left unchanged
    (a damaged file in the cache is downloaded again, with a warning); DataUnavailable if it can
    be neither found nor downloaded.

    Source: A. Karpathy, char-rnn, 2015; the text is in the public domain.
    """
    return find(SHAKESPEARE, root, progress).decode()


def text_corpus():
    """The documentation of Python's language that comes with Python: about 500,000 characters.

    It needs no network, and differs a little from one version of Python to the next.

    >>> text_corpus()[:22]
    'The "assert" statement'
    """
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise DataUnavailable(
            f"[text_corpus] this Python comes without its documentation ({error}); "
            "read a text of your own with open(path).read()"
        ) from None
    return "\n".join(topics[name] for name in sorted(topics))


class Vocabulary:
    """The distinct characters of a text, sorted; each one's number is its place among them.

    `characters` is the string of them: `Vocabulary(vocabulary.characters)` is the same vocabulary.

    Raises TypeError if `text` is not a string; ValueError if it lacks two distinct characters.

    >>> vocabulary = Vocabulary("hello")
    >>> vocabulary.characters, len(vocabulary)
    ('ehlo', 4)
    >>> vocabulary.encode("hole")
    array([1, 3, 2, 0])
    >>> vocabulary.decode([1, 3, 2, 0])
    'hole'
    """

    def __init__(self, text):
        codes = np.unique(_codes("Vocabulary", text))
        if len(codes) < 2:
            what = f"has one distinct character, {_text(codes)!r}" if len(codes) else "is empty"
            raise ValueError(f"[Vocabulary] the text {what}: there is nothing to predict")
        self.characters = _text(codes)
        self._codes = codes
        self._ids = np.full(codes[-1] + 1, -1)  # by code point; -1 for one that is not known
        self._ids[codes] = np.arange(len(codes))

    def __len__(self):
        return len(self.characters)

    def __repr__(self):
        return f"Vocabulary({self.characters!r})"

    def encode(self, text):
        """The number of each character of a string: int64 (len(text),).

        Raises ValueError, naming them, for characters that the vocabulary lacks.
        """
        codes = _codes("encode", text)
        ids = self._ids[np.minimum(codes, len(self._ids) - 1)]
        unknown = (ids < 0) | (codes >= len(self._ids))
        if unknown.any():
            lacking = _text(np.unique(codes[unknown]))
            more = len(lacking) - NAMED_AT_MOST
            raise ValueError(
                f"[encode] the vocabulary lacks {', '.join(map(repr, lacking[:NAMED_AT_MOST]))}"
                f"{f' and {more} more' if more > 0 else ''}; it has {self.characters!r}"
            )
        return ids

    def decode(self, ids):
        """The string of characters with these numbers, (N,) or a single one.

        Raises TypeError if `ids` are not integers, IndexError if one is out of range.
        """
        ids = np.asarray(ids)
        if ids.size == 0:
            return ""
        if ids.dtype.kind not in "iu" or ids.ndim > 1:
            raise TypeError(
                f"[decode] ids are {ids.dtype} {ids.shape}, expected integers of shape (N,)"
            )
        wrong = ids[(ids < 0) | (ids >= len(self))]
        if wrong.size:
            raise IndexError(
                f"[decode] there is no character {wrong[0]}, expected 0 to {len(self) - 1}"
            )
        return _text(self._codes[ids])


def _codes(owner, text):
    """The code points of a string, int64."""
    if not isinstance(text, str):
        raise TypeError(f"[{owner}] text is a {type(text).__name__}, expected a string")
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4").astype(np.int64)


def _text(codes):
    """The string of these code points."""
    return codes.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")


class TextBatches(Batches):
    """Endless random crops of a text: `(x, y)`, both (batch_size, context), y one id further.

    `x[i]` starts at a random place of `ids` (N,), and `y[i]` at the next: `y[i, t]` follows
    `x[i, t]`. A batch is a function of `seed` and `step`, its number, alone; so the run can be
    resumed from `state_dict()`. A seed that is not given is drawn from the stream that `tg.seed`
    begins, and loaded with a state. Every batch is a fresh copy.

    Raises TypeError for ids that are not integers; ValueError for ids that are not (N,), or fewer
    than context + 1, a context or batch size below 1, a seed outside 0..2**64 - 1.

    >>> batches = TextBatches(np.arange(100), context=3, batch_size=2)
    >>> x, y = next(batches)
    >>> x.shape, (y - x).max().item(), batches.step
    ((2, 3), 1, 1)
    """

    _kind = "batches"

    def __init__(self, ids, context, batch_size, *, seed=DRAWN):
        self.ids = np.asarray(ids)
        if self.ids.dtype.kind not in "iu":
            raise TypeError(f"[TextBatches] ids are {self.ids.dtype}, expected integers")
        if self.ids.ndim != 1:
            raise ValueError(f"[TextBatches] ids have shape {self.ids.shape}, expected (N,)")
        self.context = arguments.positive("TextBatches", "context", context)
        self.batch_size = arguments.positive("TextBatches", "batch_size", batch_size)
        self._is_drawn = seed is DRAWN
        self.seed = arguments.seed("TextBatches", seed)
        self.step = 0
        if len(self.ids) <= self.context:
            raise ValueError(
                f"[TextBatches] the text has {len(self.ids)} ids, expected at least context + 1 = "
                f"{self.context + 1}: take a longer text or a shorter context"
            )
        self._crops = sliding_window_view(self.ids, self.context)

    def __iter__(self):
        return self

    def __next__(self):
        places = len(self.ids) - self.context
        starts = self._random(self.step).integers(places, size=self.batch_size)
        batch = self._crops[starts], self._crops[starts + 1]
        self.step += 1
        return batch

    def state_dict(self):
        """The number of the next batch, and the settings that give it meaning, plain integers."""
        return {"step": self.step, **self._settings()}

    def _settings(self):
        return {
            "seed": self.seed,
            "ids": len(self.ids),
            "context": self.context,
            "batch_size": self.batch_size,
        }

    def _moving(self, state):
        step = arguments.count("TextBatches", "state's step", state["step"])
        return [partial(setattr, self, "step", step)]
