"""Groups of parameters by patterns of their paths."""

import re

import numpy as np
import pytest

import tinygrad_like as tg
from tinygrad_like import nn, optim


def paths_of_groups(model, groups):
    names = {id(p): path for path, p in model.named_parameters()}
    return [[names[id(p)] for p in group["params"]] for group in groups]


def test_each_parameter_is_in_the_group_of_the_first_pattern_that_names_it():
    model = nn.GPT(7, 4, 8, 2, 2)
    settings = {
        "blocks.*.bias": {"weight_decay": 0.0},
        "blocks.0": {"lr": 1e-4},
        "*.bias": {"lr": 1.0},
    }
    groups = optim.pattern_groups(model, settings, lr=1e-2, weight_decay=0.1)
    biases, block, other_biases, rest = paths_of_groups(model, groups)
    everything = [path for path, _ in model.named_parameters()]
    assert biases == [p for p in everything if p.startswith("blocks") and p.endswith(".bias")]
    assert block == [p for p in everything if p.startswith("blocks.0") and p.endswith(".weight")]
    assert other_biases == ["norm.bias"]
    assert sorted(biases + block + other_biases + rest) == sorted(everything)
    optimizer = optim.AdamW(groups, lr=5.0, weight_decay=0.5)
    assert [g["lr"] for g in optimizer.param_groups] == [5.0, 1e-4, 1.0, 1e-2]
    assert [g["weight_decay"] for g in optimizer.param_groups] == [0.0, 0.5, 0.5, 0.1]


def test_the_settings_of_a_group_drive_its_steps():
    model = nn.Sequential(nn.Dense(2, 2), nn.Dense(2, 2))
    groups = optim.pattern_groups(model, {"1.weight": {"lr": 0.0}})
    optimizer = optim.SGD(groups, lr=0.1)
    before = [p.numpy().copy() for p in model.parameters()]
    model(tg.ones((1, 2))).sum().backward()
    optimizer.step()
    pairs = zip(before, model.parameters(), strict=True)
    moved = [not np.array_equal(p, q.numpy()) for p, q in pairs]
    assert moved == [True, True, False, True]


def test_a_tied_parameter_is_once_in_the_groups_by_any_of_its_paths():
    model = nn.Sequential(nn.Dense(2, 2), nn.Dense(2, 2))
    model[1].weight = model[0].weight
    groups = optim.pattern_groups(model, {"1.*": {"lr": 0.1}, "0.*": {"lr": 0.2}})
    assert paths_of_groups(model, groups) == [["0.weight", "1.bias"], ["0.bias"]]
    optim.SGD(groups, lr=1.0)


def test_there_is_no_group_without_parameters():
    model = nn.Dense(2, 2)
    assert len(optim.pattern_groups(model, {"*": {}}, lr=0.1)) == 1
    (only,) = optim.pattern_groups(model, {}, lr=0.1)
    assert (len(only["params"]), only["lr"]) == (2, 0.1)


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"weigth": {}}, ValueError, "[pattern_groups] 'weigth' names no parameter; similar are w"),
        ({"*": {}, "bias": {}}, ValueError, "all that 'bias' names belongs to patterns before it"),
        ({"bias": 0.1}, TypeError, "settings is a dict with the value 0.1, expected {pattern: "),
        ([{}], TypeError, "settings is a list, expected {pattern: dict of settings}"),
        ({3: {}}, TypeError, "a pattern is 3"),
    ],
)
def test_misuse_is_named(settings, error, words):
    with pytest.raises(error, match=re.escape(words)):
        optim.pattern_groups(nn.Dense(2, 2), settings)
    with pytest.raises(TypeError, match="model is a list, expected a Module"):
        optim.pattern_groups(nn.Dense(2, 2).parameters(), settings)
