"""States in PyTorch's layout are known by their files, and refused where ours is expected."""

import numpy as np
import pytest
from needed import imported

import tinygrad_like as tg
from tinygrad_like import nn
from tinygrad_like.interchange import load_torch, to_torch

torch = imported("torch")


@pytest.fixture
def theirs(tmp_path):
    """(torch's square layer, its file)"""
    from safetensors.torch import save_file

    layer = torch.nn.Linear(3, 3)
    save_file(layer.state_dict(), tmp_path / "torch.safetensors")
    return layer, tmp_path / "torch.safetensors"


def refused(layer, state, what):
    before = {k: v.numpy().copy() for k, v in layer.state_dict().items()}
    for strict in (True, False):
        with pytest.raises(nn.StateError, match=rf"{what}.*use tg\.interchange\.load_torch"):
            layer.load_state_dict(state, strict=strict)
    for k, v in layer.state_dict().items():
        np.testing.assert_array_equal(v.numpy(), before[k])


def test_a_file_of_torchs_goes_through_load_torch_only(theirs):
    layer, path = theirs
    ours = nn.Dense(3, 3)
    state = tg.io.load(path)
    refused(ours, state, "from a file that tg.io.save did not write")
    load_torch(ours, path)
    np.testing.assert_array_equal(ours.weight.numpy(), layer.weight.detach().numpy().T)
    load_torch(ours, state)
    np.testing.assert_array_equal(ours.weight.numpy(), layer.weight.detach().numpy().T)
    ours.load_state_dict(dict(state))  # by one who knows better
    np.testing.assert_array_equal(ours.weight.numpy(), layer.weight.detach().numpy())


def test_torchs_own_tensors_are_refused(theirs):
    layer, _ = theirs
    refused(nn.Dense(3, 3), layer.state_dict(), "the state holds PyTorch's tensors")


def test_what_is_written_for_torch_is_known_too(tmp_path):
    ours, again = nn.Dense(3, 3), nn.Dense(3, 3)
    state = to_torch(ours)
    refused(again, state, "PyTorch's layout")
    path = tmp_path / "for_torch.safetensors"
    tg.io.save(path, state)
    refused(again, tg.io.load(path), "PyTorch's layout")
    load_torch(again, path)
    np.testing.assert_array_equal(again.weight.numpy(), ours.weight.numpy())


def test_our_own_files_load(tmp_path):
    from safetensors.numpy import save_file

    ours, again = nn.Dense(3, 3), nn.Dense(3, 3)
    tg.io.save(tmp_path / "a.safetensors", ours.state_dict())
    save_file({k: v.numpy() for k, v in ours.state_dict().items()}, tmp_path / "b.safetensors")
    save_file(
        {k: v.numpy() for k, v in ours.state_dict().items()},
        tmp_path / "c.safetensors",
        metadata={"format": "np"},
    )
    refused(again, tg.io.load(tmp_path / "b.safetensors"), "did not write")
    for path, change in (("a", lambda state: state), ("b", dict), ("c", lambda state: state)):
        again.load_state_dict(change(tg.io.load(tmp_path / f"{path}.safetensors")))
        np.testing.assert_array_equal(again.weight.numpy(), ours.weight.numpy())


def test_a_file_that_says_it_is_torchs_is_believed(tmp_path):
    from safetensors.torch import save_file

    save_file(
        torch.nn.Linear(3, 3).state_dict(), tmp_path / "a.safetensors", metadata={"format": "pt"}
    )
    refused(nn.Dense(3, 3), tg.io.load(tmp_path / "a.safetensors"), "has PyTorch's layout")


def test_the_note_of_a_layout_cannot_be_altered(tmp_path):
    path = tmp_path / "a.safetensors"
    tg.io.save(path, to_torch(nn.Dense(3, 3)))
    path.write_bytes(path.read_bytes().replace(b'/layout\\": [\\"pt', b'/layout\\": [\\"qt'))
    with pytest.raises(tg.io.FileError, match="altered"):
        tg.io.load(path)


def test_a_layout_is_kept_wherever_the_state_stands(tmp_path):
    ours, path = nn.Dense(3, 3), tmp_path / "a.safetensors"
    tg.io.save(path, {"t": to_torch(ours), "several": [{"u": (to_torch(ours), 2)}]})
    found = tg.io.load(path)
    refused(nn.Dense(3, 3), found["t"], "has PyTorch's layout")
    refused(nn.Dense(3, 3), found["several"][0]["u"][0], "has PyTorch's layout")
    assert type(found["several"][0]) is dict
    tg.io.save(tmp_path / "b.safetensors", found)
    assert path.read_bytes() == (tmp_path / "b.safetensors").read_bytes()
