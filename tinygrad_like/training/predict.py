"""predict and evaluate: a model applied to many inputs, batch by batch, in evaluation mode."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_like import losses
from tinygrad_like.backend import Undoing
from tinygrad_like.engine import Tensor, check_integer, no_grad
from tinygrad_like.nn.base.undone import attributes_back


def predict(model: Any, inputs: Any, batch_size: int = 256) -> np.ndarray:
    """The outputs of a model for all of `inputs` (N, ...), as one array of NumPy's, (N, ...).

    The inputs are moved to the model's device, and nothing is recorded. The model is in evaluation
    mode meanwhile; each of its modules then has the mode that it had, even after an error. Raises
    ValueError for no inputs, or a batch size below 1.

    >>> import tinygrad_like as tg
    >>> predict(tg.nn.Dense(2, 3), np.ones((5, 2), "float32"), batch_size=2).shape
    (5, 3)
    """
    outputs = _of_batches("predict", model, inputs, batch_size, lambda part, output: output.numpy())
    return np.concatenate(outputs)


def evaluate(
    model: Any,
    inputs: Any,
    labels: Any,
    batch_size: int = 256,
    loss: Callable[..., Tensor] = losses.cross_entropy,
) -> float:
    """The mean loss of a model over all of `inputs` (N, ...) and `labels`, (N, ...).

    `loss(outputs, labels, reduction="sum")` is added up over the batches, and divided by the number
    of labels: the last batch, which may be smaller, counts for no more than it has. Recording and
    modes are as in `predict`, and so are errors; labels of another length raise ValueError.

    >>> import tinygrad_like as tg
    >>> model = tg.nn.Dense(2, 2, bias=False).to("float64")
    >>> model.weight.data[:] = 0
    >>> round(evaluate(model, np.ones((5, 2)), np.ones(5, int)), 4)
    0.6931
    """
    if len(inputs) != len(labels):
        raise ValueError(f"[evaluate] there are {len(inputs)} inputs and {len(labels)} labels")

    def loss_of(part: slice, output: Tensor) -> Any:
        return loss(output, Tensor(labels[part], device=output.device), reduction="sum").item()

    return sum(_of_batches("evaluate", model, inputs, batch_size, loss_of)) / np.size(labels)


def _of_batches(
    name: str, model: Any, inputs: Any, batch_size: int, take: Callable[[slice, Tensor], Any]
) -> list[Any]:
    """What `take(its place in the inputs, the model's output)` returns for each batch."""
    check_integer(name, "batch_size", batch_size, 1)
    if not len(inputs):
        raise ValueError(f"[{name}] there are no inputs")
    first = next(iter(model.parameters()), None)
    device = None if first is None else first.device
    with Undoing(attributes_back(model, "training")), no_grad():
        model.eval()
        parts = [slice(k, k + batch_size) for k in range(0, len(inputs), batch_size)]
        return [take(part, model(Tensor(inputs[part], device=device))) for part in parts]
