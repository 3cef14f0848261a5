"""Pieces of the docstrings of Python's standard library: the data of classify_text.py.

`collect` gives a training and a test set of (words, label), `MODULES` names the labels, `cut` makes
pieces of any text, and `encode` makes ids of pieces.
"""

import importlib
import inspect
import pkgutil
import re
import types
import warnings
from collections import Counter

import numpy as np

MODULES = (
    *("asyncio", "decimal", "difflib", "email", "http", "inspect"),
    *("ipaddress", "logging", "socket", "unittest", "urllib", "xml"),
)
DOCUMENTED = (
    *(type, property, types.FunctionType, types.BuiltinFunctionType),
    *(types.MethodDescriptorType, types.GetSetDescriptorType),
)
WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")  # getLogger: get, logger; HTTPError: http, error
PADDING, UNKNOWN = 0, 1  # ids; those of known words follow
SHORTEST = 6  # words in a piece: fewer say too little


def import_all(name):
    """A module and, of a package, all modules below it that this machine can import."""
    found = [importlib.import_module(name)]
    for info in pkgutil.walk_packages(getattr(found[0], "__path__", ()), name + "."):
        if not info.name.endswith("__main__"):  # which would run
            try:
                found.append(importlib.import_module(info.name))
            except ImportError:
                continue  # for another operating system
    return found


def docstrings(name):
    """The distinct docstrings of a module, its classes and functions, and their members."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of deprecated modules
        waiting = import_all(name)
    seen, found = set(), {}
    while waiting:
        item = waiting.pop()
        if item in seen:
            continue
        seen.add(item)
        if isinstance(item.__doc__, str):
            found[inspect.cleandoc(item.__doc__)] = None
        if isinstance(item, (type, types.ModuleType)):
            members = (getattr(m, "__func__", m) for m in vars(item).values())
            waiting += [m for m in members if isinstance(m, DOCUMENTED) and belongs(m, name)]
    return sorted(found)


def belongs(member, name):
    """Whether it was defined in the module or its C part; what does not say is in a class of it."""
    home = getattr(member, "__module__", None) or name
    return isinstance(home, str) and home.split(".")[0] in (name, "_" + name)


def cut(text, length):
    """The paragraphs of a text as tuples of at most `length` words, without modules' names."""
    pieces = []
    for paragraph in re.split(r"\n\s*\n", text):
        words = [word.lower() for word in WORD.findall(paragraph)]
        words = [word for word in words if not any(name in word for name in MODULES)]
        pieces += [tuple(words[i : i + length]) for i in range(0, len(words), length)]
    return pieces


def collect(length, seed):
    """(training, test): lists of (words, label), a fifth of each module's docstrings in test.

    A piece counts once, in the docstring that has it first; one of several modules is left out.
    """
    random = np.random.default_rng(seed)
    labels_of, parts = {}, ([], [])
    for label, name in enumerate(MODULES):
        texts = docstrings(name)
        if len(texts) < 5:
            raise ValueError(
                f"[collect] {name} has {len(texts)} docstrings, expected at least 5: "
                "run Python without -OO, which leaves them out"
            )
        is_test = (random.permutation(len(texts)) < len(texts) / 5).tolist()
        for text, test in zip(texts, is_test, strict=True):
            for words in cut(text, length):
                if len(words) >= SHORTEST:
                    if words not in labels_of:
                        parts[test].append((words, label))
                    labels_of.setdefault(words, set()).add(label)
    return [[piece for piece in part if len(labels_of[piece[0]]) == 1] for part in parts]


def known_words(pieces):
    """The words that occur at least twice, sorted; the others are all one, the unknown word."""
    counts = Counter(word for words, _ in pieces for word in words)
    return sorted(word for word, count in counts.items() if count > 1)


def encode(pieces, vocabulary, length):
    """The ids of the words, (N, length), padded at the end."""
    numbers = {word: i for i, word in enumerate(vocabulary, UNKNOWN + 1)}
    ids = np.full((len(pieces), length), PADDING)
    for row, words in zip(ids, pieces, strict=True):
        row[: len(words)] = [numbers.get(word, UNKNOWN) for word in words]
    return ids
