"""The example examples/serve in tests: its files, weights for it, and a server that runs."""

import importlib
import sys

import pytest

FILES = "application batches network limits load measures openapi pictures serve".split()


@pytest.fixture(scope="module")
def files():
    """The files of the example as modules, by name."""
    import digit_server

    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(digit_server.FOLDER))
        yield {name: importlib.import_module(name) for name in FILES}
        for name in FILES:
            sys.modules.pop(name)


@pytest.fixture(scope="module")
def weights(files, tmp_path_factory):
    import digit_server

    path = tmp_path_factory.mktemp("serve") / "weights.safetensors"
    digit_server.write_weights(files["network"], path, steps=200)
    return path


@pytest.fixture(scope="module")
def server(weights):
    import digit_server

    with digit_server.serving(weights) as (_, address):
        yield address
