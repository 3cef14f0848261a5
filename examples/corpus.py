"""The text that char_lm.py learns from, and the pieces of it that are held out."""

from pathlib import Path

import tinygrad_like as tg


def load_text(path):
    """(name, text) of a file, of tiny Shakespeare, or of Python's documentation."""
    if path:
        try:
            return Path(path).name, Path(path).read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"[char_lm] {path} is no text in UTF-8: {error}") from None
    try:
        return "tiny Shakespeare", tg.data.tiny_shakespeare()
    except tg.data.DataUnavailable as error:
        print(f"{error}\nTraining on tg.data.text_corpus() instead: Python's own documentation.")
        return "Python's documentation", tg.data.text_corpus()


def pieces(ids, context, name):
    """A held-out text, cut into pieces of the context's length, and what follows each character."""
    if len(ids) <= context:
        raise ValueError(
            f"[char_lm] a tenth of {name} is held out, {len(ids)} characters: expected more than "
            f"the context, {context}"
        )
    count = (len(ids) - 1) // context
    return [ids[k : k + count * context].reshape(count, context) for k in (0, 1)]
