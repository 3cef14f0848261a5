"""Classifier: a module that tells classes apart, as an estimator of scikit-learn's."""

import math
from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets

from tinygrad_like import losses, optim
from tinygrad_like.engine import Tensor
from tinygrad_like.sklearn.estimator import Estimator


class Classifier(ClassifierMixin, Estimator):
    """A classifier around a module whose outputs are a score (logit) for each class.

    It is trained by `fit`, or in parts by `partial_fit`, and has the interface of scikit-learn's
    classifiers: it can be searched (`GridSearchCV`), validated (`cross_val_score`), put at the end
    of a pipeline, cloned and pickled. Load a pickle only from someone you trust; for weights that
    are handed on, `tg.io.save(path, model.module_.state_dict())` writes a safetensors file.

    Args:
        module: a Module, which is copied, so that training begins with its weights; or a function
            `(n_features, n_outputs)` that returns a new one, such as a class of Module. By default
            `MLP()`, whose settings a search reaches as `module__hidden` if an MLP is given.
        loss: called as `loss(outputs, targets, reduction="none")`, with outputs (N, n_classes) and
            targets (N,), the positions in `classes_`.
        optimizer: called as `optimizer(parameters, lr=lr)`.
        lr: the learning rate.
        epochs: the number of passes over the data.
        batch_size: samples in a step, and in a batch of a prediction. The samples are shuffled.
        schedule: called as `schedule(optimizer, steps)` with the number of all steps, such as
            `tg.optim.CosineLR`; `partial_fit`, which does not know it, keeps the rate constant.
        validation_fraction: the share of the samples, drawn evenly from the classes, that is set
            aside to measure a validation loss after each epoch. The module then keeps the weights
            of the epoch with the best one. None sets none aside.
        patience: how many epochs in a row may be no better than the best one before training ends.
        class_weight: `{class: weight}`, 1 for a class that is not in it, or "balanced"; beside
            sample_weight.
        dtype: what X is cast to; the module computes in it if it is floating. None for X's own
            float32 or float64, and float64 for all else. "int64" for a module that takes indices.
        device: where the module computes; by default where it was made.
        random_state: an integer for the same weights, order and dropout in each `fit`. The numbers
            are drawn apart from `tg.seed`, in any thread.
        verbose: whether a line is printed after each epoch.

    Attributes:
        module_: the trained Module.
        classes_: the classes, sorted.
        history_: `{"loss": [...], "validation_loss": [...]}`, by epoch.
        optimizer_: the optimizer, with which `partial_fit` goes on.
        n_features_in_, feature_names_in_, input_shape_, input_dtype_: of the X of `fit`.

    X may have more than two axes: pictures (N, C, H, W) for a convolution. It has to be dense and
    finite. If a batch has all samples, a sample of weight n counts as n copies of it; samples of
    weight 0 are left out.

    >>> from sklearn.datasets import load_iris
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> import tinygrad_like as tg
    >>> X, y = load_iris(return_X_y=True)
    >>> classifier = tg.sklearn.Classifier(lr=1e-2, epochs=20, random_state=0)
    >>> model = make_pipeline(StandardScaler(), classifier)
    >>> bool(model.fit(X, y).score(X, y) > 0.9)
    True
    """

    classes_: np.ndarray

    def __init__(
        self,
        module: Any = None,
        *,
        loss: Callable[..., Tensor] = losses.cross_entropy,
        optimizer: Callable[..., Any] = optim.Adam,
        lr: float = 1e-3,
        epochs: int = 100,
        batch_size: int = 64,
        schedule: Callable[..., Any] | None = None,
        validation_fraction: float | None = None,
        patience: int | None = None,
        class_weight: Any = None,
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
        self.class_weight = class_weight

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "Classifier":
        """Train a new module on samples X (N, ...) and their classes y (N,).

        Raises ValueError for data or settings that do not fit, for fewer than two classes;
        FloatingPointError if the loss becomes infinite or NaN.
        """
        self._fit(X, y, sample_weight)
        return self

    def partial_fit(
        self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None
    ) -> "Classifier":
        """Go through these samples once; the first call makes the module.

        Args:
            classes: all classes that any call may have. The first call needs them.

        Raises ValueError for a class that is not among them, or other classes than before.
        """
        if self.class_weight == "balanced":
            raise ValueError(
                "[Classifier] class_weight='balanced' needs all data at once: give partial_fit a "
                "dict, such as dict(enumerate(compute_class_weight('balanced', classes=c, y=y)))"
            )
        if not hasattr(self, "module_"):
            if classes is None:
                raise ValueError("[Classifier] the first call of partial_fit needs the classes")
        elif classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(
                f"[Classifier] classes are {classes!r}, in earlier calls they were {self.classes_}"
            )
        self._partial_fit(X, y, sample_weight, classes)
        return self

    def _meet(self, y: Any) -> None:
        check_classification_targets(y)
        self.classes_ = np.unique(y)
        self._n_outputs = len(self.classes_)
        if self._n_outputs < 2:
            raise ValueError(
                f"[Classifier] there is one class only, {self.classes_[0]!r}; expected two or more"
            )

    def _targets(self, y: np.ndarray, dtype: np.dtype) -> np.ndarray:
        unknown = np.setdiff1d(y, self.classes_)
        if len(unknown):
            raise ValueError(
                f"[Classifier] y has classes {unknown} that are not among {self.classes_}"
            )
        return np.searchsorted(self.classes_, y)

    def _weights(self, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
        if self.class_weight is None:
            return weights
        if self.class_weight == "balanced":
            return weights * compute_sample_weight("balanced", y)
        if not isinstance(self.class_weight, dict):
            raise ValueError(
                f"[Classifier] class_weight is {self.class_weight!r}, expected a dict such as "
                "{class: weight}, 'balanced' or None"
            )
        classes = self.classes_.tolist()
        unknown = [label for label in self.class_weight if label not in classes]
        if unknown and not self.class_weight.keys() >= {*classes}:  # a fold may lack a class
            raise ValueError(
                f"[Classifier] class_weight has {unknown}, which are not among the classes "
                f"{classes}"
            )
        by_class = [self.class_weight.get(label, 1) for label in classes]
        if not all(isinstance(w, Real) and 0 <= float(w) < math.inf for w in by_class):
            raise ValueError(
                f"[Classifier] class_weight is {self.class_weight!r}, expected finite numbers of "
                "at least 0"
            )
        return weights * np.array(by_class, np.float64)[np.searchsorted(self.classes_, y)]

    def _strata(self, targets: np.ndarray) -> np.ndarray:
        return self.classes_[targets]

    def decision_function(self, X: Any) -> np.ndarray:
        """The scores, (N, n_classes); of two classes the second score minus the first, (N,)."""
        scores = self._outputs(X)
        return scores[:, 1] - scores[:, 0] if len(self.classes_) == 2 else scores

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probabilities of the classes, (N, n_classes): softmax of the module's scores."""
        from scipy.special import softmax

        return softmax(self._outputs(X), axis=1)

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """The logarithms of `predict_proba`, finite even where it rounds to 0."""
        from scipy.special import log_softmax

        return log_softmax(self._outputs(X), axis=1)

    def predict(self, X: Any) -> np.ndarray:
        """The class with the largest score of each sample, (N,)."""
        best = self._outputs(X).argmax(axis=1)
        return self.classes_[best]
