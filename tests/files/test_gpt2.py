"""load_gpt2: a checkpoint in Hugging Face's layout computes its logits, and others are refused."""

import numpy as np
import pytest
from needed import imported

from tinygrad_like import nn
from tinygrad_like.interchange import load_gpt2
from tinygrad_like.nn import StateError

torch = imported("torch")


def small_gpt2():
    """A random GPT-2 of Hugging Face's, and ours of the same sizes."""
    transformers = imported("transformers")
    sizes = {"vocab_size": 31, "n_positions": 16, "n_embd": 12, "n_layer": 2, "n_head": 3}
    torch.manual_seed(0)
    config = transformers.GPT2Config(**sizes)
    theirs = transformers.GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for x in theirs.state_dict().values():
            x.uniform_(0.1, 1.1)  # numbers that no initialisation gives
    return theirs, nn.GPT(31, 16, 12, 2, 3, activation="gelu_tanh")


def test_gpt2_from_a_file_of_hugging_face_computes_its_logits(tmp_path):
    theirs, ours = small_gpt2()
    theirs.save_pretrained(tmp_path, safe_serialization=True)
    load_gpt2(ours, tmp_path / "model.safetensors")
    ids = np.random.default_rng(0).integers(0, 31, (2, 16))
    with torch.no_grad():
        expected = theirs(torch.from_numpy(ids)).logits.numpy()
    np.testing.assert_allclose(ours(ids).numpy(), expected, rtol=1e-4, atol=1e-4)


def test_gpt2_of_other_sizes_is_refused(tmp_path):
    theirs, _ = small_gpt2()
    ours = nn.GPT(31, 16, 12, 3, 3, activation="gelu_tanh")
    before = ours.state_dict()
    with pytest.raises(StateError, match=r"missing: h\.2") as caught:
        load_gpt2(ours, theirs.state_dict())
    assert str(caught.value).startswith("[load_gpt2] the weights do not fit GPT; nothing was")
    assert all((before[k].numpy() == v.numpy()).all() for k, v in ours.state_dict().items())


@pytest.mark.parametrize("activation", ["gelu", "relu"])
def test_gpt2_in_a_model_with_another_activation_is_refused(activation):
    ours = nn.GPT(31, 16, 12, 2, 3, activation=activation)
    with pytest.raises(ValueError, match=r'\[load_gpt2\].*nn.GPT\(..., activation="gelu_tanh"\)'):
        load_gpt2(ours, {})
