"""Parameters named by patterns: model.parameters, freeze and unfreeze."""

import numpy as np
import pytest

import tinygrad_like as tg
from tinygrad_like import nn, optim


class Model(nn.Module):
    """Blocks, parameters in containers, a tied weight and a shared layer."""

    def __init__(self):
        self.token = nn.Embedding(5, 4)
        self.blocks = nn.ModuleList([nn.MultiHeadAttention(4, 2), nn.Dense(4, 4)])
        self.tables = [{"scale": nn.init.ones(4)}]
        self.head = nn.Dense(5, 4, bias=False)
        self.head.weight = self.token.weight
        self.shared = [self.blocks[1]]


def frozen(model):
    return [path for path, p in model.named_parameters() if not p.requires_grad]


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["blocks.1"], ["blocks.1.weight", "blocks.1.bias"]),
        (["shared"], ["blocks.1.weight", "blocks.1.bias"]),
        (["shared.0.bias"], ["blocks.1.bias"]),
        (["head.weight"], ["token.weight"]),
        (["head", "tables"], ["token.weight", "tables.0.scale"]),
        (["*.scale", "tables.?.*"], ["tables.0.scale"]),
        (["blocks.*.[kq]*.bias"], ["blocks.0.query.bias", "blocks.0.key.bias"]),
        (["blocks.0.query.bias"], ["blocks.0.query.bias"]),
    ],
)
def test_a_pattern_names_parameters_or_what_holds_them(patterns, expected):
    model = Model()
    assert model.freeze(*patterns) is model
    assert frozen(model) == expected
    assert len(model.parameters(*patterns)) == len(expected)
    assert model.unfreeze(*patterns) is model
    assert frozen(model) == []


def test_without_patterns_it_is_all_of_them():
    model = Model()
    count = len(model.parameters())
    assert len(frozen(model.freeze())) == len(model.parameters("*")) == count == 12
    assert len(frozen(model.unfreeze("*.bias"))) == 7
    assert frozen(model.unfreeze()) == []


def test_a_module_that_holds_itself_is_entered_once():
    model = nn.Dense(2, 2)
    model.me = model
    assert len(model.parameters("*")) == len(model.parameters("weight", "bias")) == 2


@pytest.mark.parametrize("method", ["freeze", "unfreeze", "parameters"])
def test_a_pattern_that_names_nothing_is_an_error_and_changes_nothing(method):
    model = Model().freeze("token")
    words = rf"\[{method}\] 'block.0.query' names no parameter; similar are blocks\.0\.query"
    with pytest.raises(ValueError, match=words):
        getattr(model, method)("*", "block.0.query")
    assert frozen(model) == ["token.weight"]
    with pytest.raises(TypeError, match=rf"\[{method}\] a pattern is False"):
        getattr(model, method)(False)
    with pytest.raises(ValueError, match="'a' names no parameter; there is no parameter"):
        getattr(nn.ReLU(), method)("a")


def test_a_frozen_part_does_not_move():
    model = nn.Sequential(nn.Dense(3, 3), nn.Dense(3, 1)).freeze("0.*")
    optimizer = optim.AdamW(model.parameters(), 0.1)
    before = [p.numpy().copy() for p in model.parameters()]
    model(tg.ones((2, 3))).sum().backward()
    optimizer.step()
    pairs = zip(before, model.parameters(), strict=True)
    moved = [not np.array_equal(p, q.numpy()) for p, q in pairs]
    assert moved == [False, False, True, True]
