"""What a Module says that it holds, and two copies of it."""

import copy
import pickle

COPIES = {"deepcopy": copy.deepcopy, "pickle": lambda x: pickle.loads(pickle.dumps(x))}


def paths(module):
    """The sorted paths of the parameters, and those of the buffers."""
    return sorted(path for path, _ in module.named_parameters()), sorted(
        path for path, _ in module.named_buffers()
    )
