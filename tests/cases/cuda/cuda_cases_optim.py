"""Cases of optim.cu."""

from functools import partial

import numpy as np
from cuda_case import Case


def _case(name, states, *settings, none=(), n=300, offset=0.0):
    """A step of `name` on copies, which it changes; state is float32 for half types.

    `offset` is added to the first state: a variance v - mean^2 has to be large to be compared.
    """

    def make(rng):
        state = [None if i in none else np.abs(rng.standard_normal(n)) for i in range(states)]
        if offset:
            state[0] = state[0] + offset
        return [rng.standard_normal(n), rng.standard_normal(n), *state]

    def call(k, param, grad, *state):
        wide = "float64" if param.dtype == np.float64 else "float32"
        state = [s if s is None else s.astype(wide) for s in state]
        param = param.copy()
        getattr(k, name)(param, grad, *state, *settings)
        return param, *state

    label = "-".join(map(str, [name.rstrip("_"), *settings, *(["bare"] if none else []), n]))
    return Case(label, "optim.cu", call, make)


_amsgrad = partial(_case, "adam_", 3, 0.01, 0.9, 0.999, 1e-8)
_adam = partial(_amsgrad, none=(2,))
CASES = [
    _case("sgd_", 1, 0.1, 0.0, 0.0, False, 0.01, none=(0,)),
    _case("sgd_", 1, 0.1, 0.9, 0.25, False, 0.0),
    _case("sgd_", 1, 0.1, 0.9, 0.0, True, 0.01, n=37),
    _adam(0.1, True, 1),
    _adam(0.1, False, 7),
    _adam(0.0, False, 1, n=0),
    _amsgrad(0.1, True, 3),
    _case("rmsprop_", 3, 0.01, 0.99, 1e-8, 0.0, 0.01, none=(1, 2)),
    _case("rmsprop_", 3, 0.01, 0.99, 1e-8, 0.9, 0.0, offset=30.0),
    _case("adagrad_", 1, 0.01, 1e-10, 0.01),
    _case("nadam_", 2, 0.1, 0.05, 0.9, 0.99, 1.5, 1e-8, 0.1, 0.01),
    _case("nadam_", 2, 0.1, 0.0, 0.9, 0.99, 0.0, 1.0, 0.0, 0.0),
    _case("adamax_", 2, 0.1, 0.9, 0.99, 1e-8, 0.1),
    _case("adadelta_", 2, 0.5, 0.9, 1e-6, 0.1),
    _case("rprop_", 2, 0.5, 1.2, 0.1, 1.5),
    _case("lion_", 1, 0.1, 0.9, 0.99, 0.1),
    _case("adan_", 4, 0.1, 0.05, 0.98, 0.92, 0.99, 1e-8, 0.1, False),
    _case("adan_", 4, 0.1, 0.05, 0.98, 0.92, 0.99, 1e-8, 0.0, True, n=37),
]
