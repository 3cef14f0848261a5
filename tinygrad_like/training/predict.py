"""predict: what a model makes of many inputs, batch by batch, in evaluation mode."""

from typing import Any

import numpy as np

from tinygrad_like.backend import Undoing
from tinygrad_like.engine import Tensor, check_integer, no_grad
from tinygrad_like.nn.undone import attributes_back


def predict(model: Any, inputs: Any, batch_size: int = 256) -> np.ndarray:
    """The outputs of a model for all of `inputs` (N, ...), as one array of NumPy's, (N, ...).

    Nothing is recorded. The model is in evaluation mode meanwhile; each of its modules then has the
    mode that it had, whatever is raised. Raises ValueError for no inputs, or a batch size below 1.

    >>> import tinygrad_like as tg
    >>> predict(tg.nn.Dense(2, 3), np.ones((5, 2)), batch_size=2).shape
    (5, 3)
    """
    check_integer("predict", "batch_size", batch_size, 1)
    if not len(inputs):
        raise ValueError("[predict] there are no inputs")
    with Undoing(attributes_back(model, "training")), no_grad():
        model.eval()
        parts = [inputs[k : k + batch_size] for k in range(0, len(inputs), batch_size)]
        return np.concatenate([model(Tensor(part)).numpy() for part in parts])
