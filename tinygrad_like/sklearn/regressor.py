"""Regressor: a module that predicts numbers, as an estimator of scikit-learn's."""

import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from sklearn.base import RegressorMixin

from tinygrad_like import losses, optim
from tinygrad_like.engine import Tensor
from tinygrad_like.sklearn.estimator import Estimator


class Regressor(RegressorMixin, Estimator):
    """A regressor around a module whose outputs are the numbers to predict, one or several.

    Its settings and attributes are those of Classifier, without `class_weight` and `classes_`; the
    loss compares outputs (N, n_outputs) with targets of this shape. Neither X nor y is scaled:
    put a StandardScaler before it, and a TransformedTargetRegressor around it if y is not near 1.

    >>> import numpy as np
    >>> import tinygrad_like as tg
    >>> X = np.linspace(-1, 1, 50)[:, None]
    >>> y = np.hstack([X**2, -X])  # two numbers for each sample
    >>> model = tg.sklearn.Regressor(epochs=50, lr=1e-2, random_state=0).fit(X, y)
    >>> model.predict(X[:3]).shape, bool(model.score(X, y) > 0.9)
    ((3, 2), True)
    """

    _y_options: ClassVar = {"multi_output": True, "y_numeric": True}

    def __init__(
        self,
        module: Any = None,
        *,
        loss: Callable[..., Tensor] = losses.mse,
        optimizer: Callable[..., Any] = optim.Adam,
        lr: float = 1e-3,
        epochs: int = 100,
        batch_size: int = 64,
        schedule: Callable[..., Any] | None = None,
        validation_fraction: float | None = None,
        patience: int | None = None,
        dtype: str | None = None,
        device: str | None = None,
        random_state: Any = None,
        verbose: bool = False,
    ):
        super().__init__(
            module,
            loss=loss,
            optimizer=optimizer,
            lr=lr,
            epochs=epochs,
            batch_size=batch_size,
            schedule=schedule,
            validation_fraction=validation_fraction,
            patience=patience,
            dtype=dtype,
            device=device,
            random_state=random_state,
            verbose=verbose,
        )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "Regressor":
        """Train a new module on samples X (N, ...) and their numbers y, (N,) or (N, n_outputs).

        Raises ValueError for data or settings that do not fit; FloatingPointError if the loss
        becomes infinite or NaN.
        """
        self._fit(X, y, sample_weight)
        return self

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> "Regressor":
        """Go through these samples once; the first call makes the module."""
        self._partial_fit(X, y, sample_weight)
        return self

    def _meet(self, y: np.ndarray) -> None:
        self.output_shape_ = y.shape[1:]
        self._n_outputs = math.prod(self.output_shape_)

    def _targets(self, y: np.ndarray, dtype: np.dtype) -> np.ndarray:
        if y.shape[1:] != self.output_shape_:
            raise ValueError(
                f"[Regressor] y has shape {y.shape}, in earlier calls a sample had "
                f"{self._n_outputs} numbers, of shape {self.output_shape_}"
            )
        return y.reshape(len(y), -1).astype(dtype)

    def predict(self, X: Any) -> np.ndarray:
        """The predicted numbers, (N,) or (N, n_outputs), as the y of `fit` was."""
        outputs = self._outputs(X)
        return outputs.reshape(len(outputs), *self.output_shape_)
