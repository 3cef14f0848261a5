"""PyTorch's own samples of its layers and losses: ours gives the same, with both derivatives.

Each sample of `module_db` is run in float64 with the same weights: outputs, indices, buffers, the
gradients of parameters and inputs, and the gradients of these are compared. What PyTorch has and
we have not is listed in NOT_HERE, options that are refused in REFUSED, each with the reason.
"""

import functools

import numpy as np
import pytest
from oracle import needs_torch, torch
from torch_layers import PEERS
from torch_samples import (
    compare,
    flat,
    from_testing,
    mapped,
    one_thread,
    ours,
    slope_by_differences,
    torchs,
)

import tinygrad_like as tg
from tinygrad_like.interchange import links_of, load_torch

pytestmark = [
    needs_torch,
    pytest.mark.long,
    # PyTorch's advice
    pytest.mark.filterwarnings("ignore:enable_nested_tensor is True:UserWarning"),
    pytest.mark.filterwarnings("ignore:reduction. 'mean' divides the total loss:UserWarning"),
]

NOT_HERE = {
    **dict.fromkeys(
        ("FractionalMaxPool2d", "FractionalMaxPool3d"), "windows of random sizes, hardly used"
    ),
    **{
        f"Lazy{kind}{n}d": "sizes are given when a layer is made, so that it has its parameters"
        for kind in ("Conv", "ConvTranspose")
        for n in (1, 2, 3)
    },
    "LinearCrossEntropyLoss": "saves memory only: Dense, then losses.cross_entropy",
}

# (layer, part of a sample's name, when): the words of the error, and why it is refused.
REFUSED = {
    **{
        (f"BatchNorm{n}d", "zero_batch", "training"): (
            "one value for each channel has no variance",
            "an empty batch has no mean: the running estimates would take up NaN",
        )
        for n in (1, 2, 3)
    },
    **{
        (f"InstanceNorm{n}d", "no_batch_dim", "always"): (
            r"expected \(N, 3, L, ...\)",
            "one layer is for sequences, images and volumes: (C, H, W) could be (N, C, L)",
        )
        for n in (1, 2, 3)
    },
    ("KLDivLoss", "scalar_reduction_batchmean", "always"): (
        "no batch to average over",
        "a number has no first axis",
    ),
}

# (layer, part of a sample's name): how its inputs are changed, for both, and why.
CHANGED = {
    ("MarginRankingLoss", ""): (
        lambda a, b, target: (a, b, torch.where(target == 0, 1, target)),
        "a target of 0, for which the loss is the margin whatever is predicted, is refused",
    ),
    ("KLDivLoss", ""): (
        lambda log_q, p: (log_q.nan_to_num(-1), p.nan_to_num(1).abs()),
        "negative probabilities are refused; logarithms of negative numbers are NaN in both",
    ),
    **{
        (f"LPPool{n}d", "norm"): (
            lambda x: (x.abs(),),
            "negative numbers to the power 1.5 are NaN in both",
        )
        for n in (1, 2, 3)
    },
}

# PyTorch has no second derivatives of these: ours are compared with differences.
FIRST_ORDER = {"CTCLoss", "MultiLabelMarginLoss", "MultiMarginLoss"}

RUNNING = "running_mean", "running_var", "num_batches_tracked"


@functools.cache
def infos():
    return {
        info.name.removeprefix("nn."): info for info in from_testing("common_modules").module_db
    }


def samples(name):
    """(sample, whether training) of a layer; both where that makes a difference."""
    info = infos()[name]
    for training in (False, True) if info.train_and_eval_differ else (False,):
        torch.manual_seed(1)  # with 0 all labels of a sample are ignored: there is no mean
        made = info.module_inputs_func(
            info, device="cpu", dtype=torch.float64, requires_grad=True, training=training
        )
        yield from ((sample, training) for sample in made)


class Both:
    """A layer of PyTorch's and ours, with the same weights, and the inputs of a sample."""

    def __init__(self, name, sample, training):
        made, given = sample.constructor_input, sample.forward_input
        args = tuple(given.args)
        for (layer, part), (change, _) in CHANGED.items():
            if layer == name and part in sample.desc:
                args = change(*args)
        self.peer = PEERS[name]
        self.theirs = infos()[name].module_cls(*made.args, **made.kwargs).double().train(training)
        with torch.no_grad():
            for p in self.theirs.parameters():
                p += 0.1 * torch.randn_like(p)
            for path, buffer in self.theirs.named_buffers():
                if path in RUNNING[:2]:
                    buffer += torch.rand_like(buffer)
        self.args, self.kwargs = mapped(_fresh, (args, dict(given.kwargs)))
        self.parameters = dict(self.theirs.named_parameters())
        tensors = [x for x in flat((self.args, self.kwargs)) if _is_leaf(x)]
        self.leaves = [*self.parameters.values(), *tensors]
        self.ours = self.peer.make(self.theirs)
        if self.ours is not None:
            self.ours.to("float64").train(training)
            renamed = {self.peer.name(path): x for path, x in self.theirs.state_dict().items()}
            same = renamed.keys() == self.theirs.state_dict().keys()
            load_torch(self.ours, self.theirs if same else renamed)

    def run_theirs(self):
        return self.peer.call_theirs(self.theirs, *self.args, **self.kwargs)

    def run_ours(self, leaves):
        """Ours as a function of the parameters, in PyTorch's layout, and of the inputs."""
        parameters = dict(zip(map(self.peer.name, self.parameters), leaves, strict=False))
        inputs = iter(leaves[len(parameters) :])
        args, kwargs = mapped(
            lambda x: next(inputs) if _is_leaf(x) else _host(x), (self.args, self.kwargs)
        )
        call = Call(self.ours, self.peer, self.theirs)
        return tg.functional_call(call, self.in_our_layout(parameters), *args, **kwargs)

    def in_our_layout(self, parameters):
        """{path in Call: Tensor} of {PyTorch's path: Tensor}."""
        if self.ours is None:
            return {}
        paths = {id(p): f"ours.{path}" for path, p in self.ours.named_parameters()}
        found = {}
        for link in links_of(self.ours):
            if parameters.keys() >= set(link.theirs):
                values = link.read(*(parameters[path] for path in link.theirs))
                found |= {
                    paths[id(own)]: value for own, value in zip(link.ours, values, strict=True)
                }
        assert found.keys() == set(paths.values())
        return found

    def start(self):
        return [tg.Tensor(x.detach().numpy(), requires_grad=True) for x in self.leaves]


class Call(tg.nn.Module):
    """What a peer does, as a Module, for `functional_call`."""

    def __init__(self, layer, peer, theirs):
        self.ours = layer
        self.call = lambda *args, **kwargs: peer.call(layer, theirs, *args, **kwargs)

    def forward(self, *args, **kwargs):
        return self.call(*args, **kwargs)


def _fresh(x):
    """A tensor without history."""
    return x.detach().requires_grad_(x.requires_grad) if isinstance(x, torch.Tensor) else x


def _is_leaf(x):
    return isinstance(x, torch.Tensor) and x.requires_grad


def _host(x):
    return x.numpy() if isinstance(x, torch.Tensor) else x


@pytest.fixture(autouse=True)
def torch_in_one_thread():
    with one_thread():
        yield


def reason(name, sample, training):
    """The key of REFUSED that a sample falls under, None for one that is to agree."""
    for key in REFUSED:
        layer, part, when = key
        if layer == name and part in sample.desc and (training or when == "always"):
            return key
    return None


def refuse(name, sample, training):
    both = Both(name, sample, training)
    both.run_ours(both.start())


def check(name, sample, training):
    both = Both(name, sample, training)
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        expected = torchs(both.run_theirs, both.leaves)
    buffers = {path: b.numpy() for path, b in both.theirs.named_buffers() if path in RUNNING}
    found = ours(both.run_ours, both.start())
    compare(found, expected)
    for path, value in buffers.items():
        own = getattr(both.ours, path)
        if own is not None:
            np.testing.assert_allclose(own.numpy(), value, 1e-12, err_msg=path)
    assert (expected[2] is None) == (name in FIRST_ORDER)
    if expected[2] is None and not sample.constructor_input.kwargs:
        slope, difference = slope_by_differences(both.run_ours, both.start())
        np.testing.assert_allclose(slope, difference, 1e-4, 1e-6)


@pytest.mark.parametrize("name", PEERS)
def test_each_sample_gives_what_pytorch_gives(name):
    refused = set()
    for i, (sample, training) in enumerate(samples(name)):
        key = reason(name, sample, training)
        try:
            if key is None:
                check(name, sample, training)
            else:
                refused.add(key)
                with pytest.raises(ValueError, match=REFUSED[key][0]):
                    refuse(name, sample, training)
        except Exception as error:
            mode = "training" if training else "evaluation"
            raise AssertionError(f"sample {i}, {sample.desc!r}, in {mode}: {error}") from error
    assert refused == {key for key in REFUSED if key[0] == name}


def test_every_layer_of_pytorchs_samples_is_compared_or_listed():
    """The lists are printed: `pytest -m long -s` shows them."""
    for name, why in NOT_HERE.items():
        print(f"not here: {name}: {why}")
    for (name, part, when), (_, why) in REFUSED.items():
        print(f"refused ({when}): {name} {part}: {why}")
    for (name, part), (_, why) in CHANGED.items():
        print(f"changed: {name} {part}: {why}")
    assert PEERS.keys() | NOT_HERE.keys() == infos().keys()
    assert not PEERS.keys() & NOT_HERE.keys()
