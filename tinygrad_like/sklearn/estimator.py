"""Estimator: what Classifier and Regressor share: checks of the data, the loop, early stopping."""

import copy
import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from tinygrad_like import nn
from tinygrad_like.data import DataLoader, Dataset
from tinygrad_like.engine import Tensor, check_choice, check_flag, check_integer, check_number
from tinygrad_like.engine.errors import describe, refuse_masked
from tinygrad_like.generator import GENERATOR
from tinygrad_like.sklearn.mlp import MLP
from tinygrad_like.training.predict import predict
from tinygrad_like.training.progress import say

DTYPES = "float32", "float64", "int32", "int64"


class Estimator(BaseEstimator):
    """A module that is trained by `fit`; its settings are those that Classifier describes."""

    def __init__(
        self,
        module: Any = None,
        *,
        loss: Callable[..., Tensor],
        optimizer: Callable[..., Any],
        lr: float,
        epochs: int,
        batch_size: int,
        schedule: Callable[..., Any] | None,
        validation_fraction: float | None,
        patience: int | None,
        dtype: str | None,
        device: str | None,
        random_state: Any,
        verbose: bool,
    ):
        self.module = module
        self.loss = loss
        self.optimizer = optimizer
        self.lr = lr
        self.epochs = epochs
        self.batch_size = batch_size
        self.schedule = schedule
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.dtype = dtype
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    # What a subclass defines

    _n_outputs: int  # of the module, for one sample
    _y_options: ClassVar[dict[str, Any]] = {}  # of scikit-learn's check of y

    def _meet(self, y: np.ndarray) -> None:
        """Note the classes or the shape of y, before a training that starts from scratch."""
        raise NotImplementedError

    def _targets(self, y: np.ndarray, dtype: np.dtype) -> np.ndarray:
        """The y of a training as the loss takes it. Raises ValueError for what was not met."""
        raise NotImplementedError

    def _weights(self, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """The weights of the samples, from those that were given."""
        return weights

    def _strata(self, targets: np.ndarray) -> Any:
        """The labels whose shares the validation set should keep, or None."""
        return None

    # Training

    def _fit(self, X: Any, y: Any, sample_weight: Any) -> None:
        """Train a new module on all of the data."""
        self.__dict__.pop("module_", None)  # if this fails, no module of other classes is left
        X, targets, weights = self._checked(X, y, sample_weight)
        weights = weights / weights.max()  # so that their sum cannot overflow
        parts, held_out = (X, targets, weights / weights.mean()), None
        self._seed = self._new_seed()
        if self.validation_fraction is not None:
            parts, held_out = self._set_aside(parts, self._strata(targets))
        loader = DataLoader(Dataset(*parts), self.batch_size, shuffle=True, seed=self._seed)
        with GENERATOR.own(self._seed):
            self._begin(X)
            self._run(loader, held_out)

    def _set_aside(self, parts: Any, strata: Any) -> Any:
        """The parts to train on, and those that measure the validation loss."""
        try:
            both = train_test_split(
                *parts,
                test_size=self.validation_fraction,
                random_state=self._seed,
                stratify=strata,
            )
        except ValueError as error:
            raise ValueError(
                f"[{type(self).__name__}] a validation_fraction of {self.validation_fraction} of "
                f"{len(parts[0])} samples cannot be set aside: {error}"
            ) from None
        return both[::2], both[1::2]

    def _run(self, loader: DataLoader, held_out: Any) -> None:
        """All epochs, or as many as patience allows; then the best weights, if those are known."""
        schedule = None
        if self.schedule is not None:
            schedule = self.schedule(self.optimizer_, self.epochs * len(loader))
        best: Any = math.inf, 0, None  # validation loss, epoch, state
        for epoch in range(1, self.epochs + 1):
            self._train(loader, schedule)
            if held_out is not None:
                loss = self._validate(*held_out)
                if loss < best[0]:
                    best = loss, epoch, self.module_.state_dict()
            if self.verbose:
                last = (f"{name} {values[-1]:.4g}" for name, values in self.history_.items())
                say(f"epoch {epoch}/{self.epochs}: {', '.join(last)}")
            if self.patience is not None and epoch - best[1] >= self.patience:
                break
        if best[2] is not None:
            self.module_.load_state_dict(best[2])
        self.module_.eval()  # threads that predict at the same time then change no mode

    def _partial_fit(self, X: Any, y: Any, sample_weight: Any, met: Any = None) -> None:
        """Train the module, a new one in the first call, on the data once.

        `met` stands for y where the first call does not show all classes of later ones.
        """
        first = not hasattr(self, "module_")
        data = self._checked(X, y, sample_weight, reset=first, met=met)
        if first:
            self._seed = self._new_seed()
        seed = self._seed if first else self._seed + len(self.history_["loss"])
        loader = DataLoader(Dataset(*data), self.batch_size, shuffle=True, seed=seed)
        with GENERATOR.own(seed):
            if first:
                self._begin(data[0])
            self._train(loader)
        self.module_.eval()

    def _new_seed(self) -> int:
        return int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))

    def _begin(self, X: np.ndarray) -> None:
        """A new module and its optimizer."""
        module: Any = MLP() if self.module is None else self.module
        if isinstance(module, nn.Module):
            module = copy.deepcopy(module)
        elif callable(module):
            module = module(math.prod(X.shape[1:]), self._n_outputs)
        if not isinstance(module, nn.Module):
            raise TypeError(
                f"[{type(self).__name__}] got {describe(module)} as module, expected a Module, or "
                "a function (n_features, n_outputs) that returns one"
            )
        if self.device is not None:
            module.to(self.device)
        if X.dtype.kind == "f":
            module.to(X.dtype)
        self.input_shape_, self.input_dtype_ = X.shape[1:], X.dtype
        self.optimizer_: Any = self.optimizer(module.parameters(), lr=self.lr)
        if not hasattr(self.optimizer_, "step"):
            raise TypeError(
                f"[{type(self).__name__}] optimizer(parameters, lr=lr) returned "
                f"{describe(self.optimizer_)}, expected an optimizer, as tg.optim.Adam makes one"
            )
        self.history_: dict[str, list[float]] = {"loss": []}
        self.module_: Any = module

    def _train(self, loader: DataLoader, schedule: Any = None) -> None:
        """One epoch."""
        self.module_.train()
        device = self.module_.parameters()[0].device
        total = weight = 0.0
        for inputs, targets, weights in loader:
            outputs = self.module_(Tensor(inputs, device=device))
            losses = self._losses(outputs, targets)
            loss = (losses * Tensor(weights, dtype=losses.dtype, device=device)).mean()
            self.optimizer_.zero_grad()
            loss.backward()
            self.optimizer_.step()
            if schedule is not None:
                schedule.step()
            total += loss.item() * len(weights)
            weight += weights.sum()
        self._note("loss", total / weight)

    def _validate(self, inputs: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> float:
        """The mean loss of samples that were set aside."""
        outputs = Tensor(predict(self.module_, inputs, self.batch_size))
        losses = self._losses(outputs, targets).numpy()
        return self._note("validation_loss", np.average(losses, weights=weights))

    def _losses(self, outputs: Tensor, targets: np.ndarray) -> Tensor:
        """The loss of each sample, (N,)."""
        self._check_outputs(outputs)
        losses = self.loss(outputs, Tensor(targets, device=outputs.device), reduction="none")
        shape = losses.shape if isinstance(losses, Tensor) else None
        if shape is None or shape[:1] != (len(targets),):
            got = describe(losses) if shape is None else f"shape {shape}"
            raise ValueError(
                f"[{type(self).__name__}] loss(outputs, targets, reduction='none') returned {got} "
                f"for {len(targets)} samples, expected a loss of each of them"
            )
        return losses.reshape(len(targets), -1).mean(axis=1)

    def _note(self, name: str, value: float) -> float:
        """Put a value into the history; FloatingPointError for one that is not finite."""
        if not math.isfinite(value):
            raise FloatingPointError(
                f"[{type(self).__name__}] the {name} is {value}: lower the learning rate lr, or "
                "scale the data, say by make_pipeline(StandardScaler(), ...)"
            )
        self.history_.setdefault(name, []).append(float(value))
        return value

    # Application

    def _outputs(self, X: Any) -> np.ndarray:
        """The outputs of the module for X, (N, n_outputs)."""
        check_is_fitted(self, "module_")
        refuse_masked(type(self).__name__, "X", X)
        X = validate_data(self, X, dtype=self.input_dtype_, allow_nd=True, reset=False)
        self._check_shape(X)
        outputs = predict(self.module_, X, self.batch_size)
        self._check_outputs(outputs)
        return outputs

    # Checks

    def _checked(
        self, X: Any, y: Any, sample_weight: Any, reset: bool = True, met: Any = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(X, targets, weights), without the samples whose weight is 0."""
        self._check_settings()
        for name, given in (("X", X), ("y", y), ("sample_weight", sample_weight)):
            refuse_masked(type(self).__name__, name, given)
        options: dict[str, Any] = {"allow_nd": True, "reset": reset, **self._y_options}
        X, y = validate_data(self, X, y, dtype=self._dtypes(reset), **options)
        if reset:
            self._meet(y if met is None else met)
        else:
            self._check_shape(X)
        dtype = X.dtype if X.dtype.kind == "f" else np.dtype(np.float32)
        targets = self._targets(y, dtype)
        options = {"dtype": np.float64, "ensure_non_negative": True}
        weights = self._weights(y, _check_sample_weight(sample_weight, X, **options))
        kept = weights > 0
        if not kept.any():
            raise ValueError(f"[{type(self).__name__}] all samples have the weight 0")
        return (X, targets, weights) if kept.all() else (X[kept], targets[kept], weights[kept])

    def _dtypes(self, reset: bool) -> Any:
        """The dtypes that inputs may have: anything else is cast to the first."""
        if not reset:
            return self.input_dtype_
        return [np.float64, np.float32] if self.dtype is None else np.dtype(self.dtype)

    def _check_shape(self, X: np.ndarray) -> None:
        if X.shape[1:] != self.input_shape_:
            raise ValueError(
                f"[{type(self).__name__}] X has samples of shape {X.shape[1:]}, the model was "
                f"trained on {self.input_shape_}"
            )

    def _check_outputs(self, outputs: Any) -> None:
        shape = getattr(outputs, "shape", ())
        if shape[1:] != (self._n_outputs,):
            got = f"shape {shape}" if shape else describe(outputs)
            raise ValueError(
                f"[{type(self).__name__}] the module returned {got}, expected (N, "
                f"{self._n_outputs}); a function (n_features, n_outputs) as module gets these "
                "numbers"
            )

    def _check_settings(self) -> None:
        owner = type(self).__name__
        for name in ("loss", "optimizer", "schedule"):
            given = getattr(self, name)
            if not callable(given) and (given is not None or name != "schedule"):
                raise TypeError(f"[{owner}] {name} is {given!r}, expected a function")
        check_integer(owner, "epochs", self.epochs, 1)
        check_integer(owner, "batch_size", self.batch_size, 1)
        check_flag(owner, "verbose", self.verbose)
        if self.dtype is not None:
            check_choice(owner, "dtype", self.dtype, DTYPES)
        if self.validation_fraction is not None:
            fraction = check_number(owner, "validation_fraction", self.validation_fraction, below=1)
            if fraction <= 0:
                raise ValueError(f"[{owner}] validation_fraction is {fraction}, expected above 0")
        if self.patience is not None:
            check_integer(owner, "patience", self.patience, 1)
            if self.validation_fraction is None:
                raise ValueError(
                    f"[{owner}] patience counts epochs without a better validation loss: give a "
                    "validation_fraction, such as 0.1, too"
                )
