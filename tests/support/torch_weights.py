"""PyTorch's modules with weights of their own, beside ours with the same ones."""

import numpy as np
from needed import imported

from tinygrad_like import Tensor

torch = imported("torch")

TOLERANCE = {np.float32: 1e-5, np.float64: 1e-10}


def randomize(model, seed=0):
    """Fill a PyTorch model with numbers that no initialisation gives."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for x in model.state_dict().values():
            if x.is_floating_point():
                x.copy_(torch.rand(x.shape, generator=generator, dtype=x.dtype) + 0.1)
    return model


def an_input(shape, dtype):
    rng = np.random.default_rng(0)
    return rng.integers(0, 7, (3, 4)) if shape is None else rng.standard_normal(shape).astype(dtype)


def assert_agree(ours, theirs, x, dtype):
    for training in (False, True):
        ours.train(training)
        theirs.train(training)
        expected = theirs(torch.from_numpy(x)).detach().numpy()
        found = ours(Tensor(x)).numpy()
        assert found.dtype == dtype
        np.testing.assert_allclose(found, expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
