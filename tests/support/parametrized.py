"""A small model with computed weights, and its input."""

import numpy as np

import tinygrad_like as tg
from tinygrad_like import nn

X = np.random.default_rng(0).standard_normal((3, 4)).astype("float32")


def model(parametrization=None):
    tg.seed(0)
    found = nn.Sequential(nn.Dense(4, 6), nn.Tanh(), nn.Dense(6, 2))
    return found if parametrization is None else nn.parametrize(found, "*.weight", parametrization)
