"""MLP: a factory of dense layers, whose settings a search can vary."""

import itertools
from collections.abc import Sequence
from typing import Any

from sklearn.base import BaseEstimator

from tinygrad_like import nn
from tinygrad_like.engine import check_integer, check_number


class MLP(BaseEstimator):
    """Makes dense layers for data of a size: `MLP()(n_features, n_outputs)` is a Module.

    It has `get_params` and `set_params`, as an estimator has, so that a search reaches its settings
    by `module__hidden`. Any callable of two integers can stand in its place.

    Args:
        hidden: the widths of the hidden layers. None for two layers whose width is the power of
            two that follows n_features + n_outputs, but at least 32 and at most 512.
        activation: a class of Module without arguments, after each hidden layer.
        dropout: the share of each hidden layer's output that is set to zero in training.

    >>> from tinygrad_like.sklearn import MLP
    >>> MLP(hidden=(16,))(4, 3)
    Sequential(
      (0): Flatten(start_axis=1, end_axis=-1)
      (1): Dense(n_in=4, n_out=16)
      (2): ReLU()
      (3): Dense(n_in=16, n_out=3)
    )
    """

    def __init__(
        self,
        hidden: Sequence[int] | None = None,
        *,
        activation: Any = nn.ReLU,
        dropout: float = 0.0,
    ):
        self.hidden = hidden
        self.activation = activation
        self.dropout = dropout

    def __call__(self, n_features: int, n_outputs: int) -> nn.Module:
        """Dense layers from n_features numbers of a sample, of any shape, to n_outputs."""
        hidden = self.hidden
        if hidden is None:
            width = 1 << (n_features + n_outputs - 1).bit_length()
            hidden = [min(max(width, 32), 512)] * 2
        elif isinstance(hidden, (str, int)) or not hasattr(hidden, "__iter__"):
            raise TypeError(f"[MLP] hidden is {hidden!r}, expected integers, such as (64, 32)")
        for width in hidden:
            check_integer("MLP", "a width in hidden", width, 1)
        dropout = check_number("MLP", "dropout", self.dropout, 0, below=1)
        widths = [n_features, *hidden]
        layers: list[nn.Module] = [nn.Flatten()]
        for n_in, n_out in itertools.pairwise(widths):
            layers += [nn.Dense(n_in, int(n_out)), self.activation()]
            layers += [nn.Dropout(dropout)] if dropout else []
        return nn.Sequential(*layers, nn.Dense(int(widths[-1]), n_outputs))
