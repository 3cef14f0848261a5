"""from_torch on PyTorch's own samples of its layers: the same outputs, or a refusal by name."""

import warnings

import numpy as np
import pytest
from oracle import needs_torch, torch
from torch_samples import flat, from_testing, mapped, one_thread

from tinygrad_like import Tensor
from tinygrad_like.interchange import from_torch
from tinygrad_like.interchange.models import DECODERS, KINDS

pytestmark = [needs_torch, pytest.mark.long]

CONVERTED = {*KINDS, "TransformerEncoder"} - {*DECODERS}
# What is refused of a sample, as it is made again or called.
REFUSED = (
    "batch_first=False",
    "no variance",  # a batch of none, in training
    "expected (N, 3, L, ...)",  # a volume without the axis of a batch
)


def samples(info):
    for training in (False, True):
        torch.manual_seed(0)
        yield from (
            (sample, training)
            for sample in info.module_inputs_func(
                info, device="cpu", dtype=torch.float64, requires_grad=False, training=training
            )
        )


def ours(x):
    return Tensor(x.numpy()) if isinstance(x, torch.Tensor) else x


def compared(theirs, sample):
    """Whether a sample was compared: not if ours refuses it, or calls its masks otherwise."""
    args, masks = sample.forward_input.args, sample.forward_input.kwargs
    if masks and set(masks) != {"input"}:
        return False
    args = (*args, *masks.values())
    try:
        found = from_torch(theirs)(*mapped(ours, args))
    except (TypeError, ValueError) as error:
        if not any(reason in str(error) for reason in REFUSED):
            raise
        return False
    expected = theirs(*args)
    if type(theirs) is torch.nn.MultiheadAttention:
        expected = expected[0]
    for a, b in zip(flat(found), flat(expected), strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-6, atol=1e-9)
    return True


def is_random(model, training):
    rates = [getattr(m, "p", 0) or 0 for m in model.modules() if "Dropout" in type(m).__name__]
    rates += [getattr(m, "dropout", 0) for m in model.modules()]
    return training and any(isinstance(rate, float) and rate > 0 for rate in rates)


def test_a_layer_made_again_gives_what_pytorchs_sample_gives():
    done = set()
    with one_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for info in from_testing("common_modules").module_db:
            if info.module_cls.__name__ not in CONVERTED:
                continue
            for sample, training in samples(info):
                made = sample.constructor_input
                theirs = info.module_cls(*made.args, **made.kwargs).double().train(training)
                if not is_random(theirs, training) and compared(theirs, sample):
                    done.add(info.module_cls.__name__)
    assert len(done) >= 60, sorted(CONVERTED - done)
