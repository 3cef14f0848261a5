"""The Llama of the examples: it learns, reads a text piece by piece, and writes."""

import importlib
from pathlib import Path

import numpy as np
import pytest

import tinygrad_like as tg
from tinygrad_like import nn

EXAMPLES = Path(__file__).parents[2] / "examples"

pytestmark = pytest.mark.long


@pytest.fixture
def llama(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return importlib.import_module("llama")


def test_a_llama_learns_from_a_text_and_writes(llama, tmp_path, capsys):
    text = tmp_path / "text.txt"
    text.write_text("the quick brown fox jumps over the lazy dog. " * 40, encoding="utf-8")
    losses = llama.main(["--text", str(text), "--steps", "40"])
    assert losses[0] > 2.5
    assert np.mean(losses[-5:]) < 0.5
    written = capsys.readouterr().out.splitlines()[-1]
    assert written.count("quick brown fox") >= 3


def test_the_cache_of_a_llama_gives_what_the_whole_text_gives(llama):
    tg.seed(0)
    model, ids = llama.Llama(11, width=16, layers=2), np.arange(100) % 11
    cache = nn.KeyValueCache()
    with tg.no_grad():
        whole = model(ids[None]).numpy()[0]
        for start, end in ((0, 70), (70, 71), (71, 100)):
            part = model(ids[None, start:end], cache).numpy()[0]
            np.testing.assert_allclose(part, whole[start:end], rtol=2e-4, atol=2e-5)
