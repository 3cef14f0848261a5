"""PyTorch's own samples (OpInfo): the same values and gradients, or a refusal that is listed."""

import re
import warnings

import opinfo_elementwise
import opinfo_linalg
import opinfo_neural
import opinfo_reduce
import opinfo_shape
import pytest
from grouped import grouped
from opinfo import compare, drawn, dtypes_of, infos
from opinfo_missing import MISSING
from opinfo_refused import COMPLEX, IS_REFUSED, REFUSED, ROUNDED
from oracle import needs_torch

import tinygrad_like as tg

pytestmark = [needs_torch, pytest.mark.long]

TABLES = opinfo_elementwise, opinfo_linalg, opinfo_neural, opinfo_reduce, opinfo_shape
FAMILIES = {name: table.__name__ for table in TABLES for name in table.ROWS}
ROWS = {name: row for table in TABLES for name, row in table.ROWS.items()}


# Losses that refuse the targets of PyTorch's samples: {name: what makes targets of them}.
TARGETS = {
    "nn.functional.margin_ranking_loss": lambda t: t.sign(),
    "nn.functional.multilabel_soft_margin_loss": lambda t: t.sigmoid(),
    "nn.functional.soft_margin_loss": lambda t: t.sign(),
}

# Those all of whose samples are refused.
NONE_AGREES = """
    ldexp log_softmax.with_dtype nn.functional.ctc_loss nn.functional.silu.complex
    nn.functional.softmin.with_dtype softmax.with_dtype
""".split()


@pytest.fixture(scope="module")
def db():
    return infos()


def refusals_of(name, is_complex):
    known = REFUSED.get(name, {})
    if is_complex and name in COMPLEX:
        return known | {IS_REFUSED: "takes no complex numbers"}
    return known


@grouped("name", sorted(ROWS), by=FAMILIES.get)
def test_samples_agree(name, db):
    """All samples of an op, in each of its dtypes; an error has to be a refusal that is listed."""
    info, seen, expected, agreed = db[name], set(), set(REFUSED.get(name, ())), 0
    if name in COMPLEX:
        expected.add(IS_REFUSED)
    for dtype in dtypes_of(info):
        known = refusals_of(name, dtype.is_complex)
        for i, sample in enumerate(drawn(info, dtype)):
            if name in TARGETS:
                sample.args = (*sample.args[:-1], TARGETS[name](sample.args[-1]))
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    compare(info, ROWS[name], sample, ROUNDED.get(name, 1e-10))
            except Exception as error:
                text = f"{'complex ' * dtype.is_complex}{type(error).__name__}: {error}"
                matches = {words for words in known if re.search(words, text, re.MULTILINE)}
                if not matches:
                    raise AssertionError(f"{dtype}, sample {i}: {sample}: {text}") from error
                seen |= matches
            else:
                agreed += 1
    assert seen == expected, f"listed as refused, but taken: {expected - seen}"
    assert bool(agreed) == (name not in NONE_AGREES)


def test_every_op_of_pytorch_is_compared_or_missing(db):
    assert not ROWS.keys() & MISSING.keys()
    assert db.keys() == ROWS.keys() | MISSING.keys()
    assert set(COMPLEX) | REFUSED.keys() | ROUNDED.keys() <= ROWS.keys()


def test_what_is_missing_is_not_here():
    """A name that the library gets moves from the list to a table."""
    rooms = {"": tg, "linalg": tg.linalg, "fft": tg.fft, "special": tg.special, "nn.functional": tg}
    for name, reason in MISSING.items():
        room, _, last = name.rpartition(".")
        if room in rooms and not reason.startswith("random numbers"):
            assert not hasattr(rooms[room], last), f"{name} is here, but listed as missing"
