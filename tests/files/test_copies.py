"""Pickles and copies of all that a training is made of: what is shared in them stays shared."""

import copy
import io
import pickle
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from needed import imported, needs_emulator

import tinygrad_like as tg
from tinygrad_like import data, nn, optim


def through_joblib(x):
    file = io.BytesIO()
    joblib = imported("joblib")
    joblib.dump(x, file)
    file.seek(0)
    return joblib.load(file)


COPIES = {
    "deepcopy": copy.deepcopy,
    "oldest": lambda x: pickle.loads(pickle.dumps(x, 2)),
    "newest": lambda x: pickle.loads(pickle.dumps(x, pickle.HIGHEST_PROTOCOL)),
    "joblib": through_joblib,
}
each_copy = pytest.mark.parametrize("duplicate", COPIES.values(), ids=COPIES)


# Any structure


@st.composite
def tensors(draw):
    """A leaf of any dtype and role."""
    dtype = draw(st.sampled_from([np.float32, np.float64, np.float16, np.int64, bool]))
    shape = draw(st.sampled_from([(), (0,), (3,), (2, 1)]))
    t = tg.Tensor(np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype))
    if np.dtype(dtype).kind == "f" and draw(st.booleans()):
        t.requires_grad = True
        if draw(st.booleans()):
            t.grad = tg.ones_like(t)
        t.requires_grad = draw(st.booleans())  # a frozen one is still a parameter
    return t


@st.composite
def structures(draw):
    """Lists, dicts and Modules around a few Tensors, some of which are there more than once."""
    pool = draw(st.lists(tensors(), min_size=1, max_size=3))

    def module(members):
        holder = nn.Identity()
        holder.members = members
        return holder

    def around(inner):
        lists = st.lists(inner, max_size=3)
        return lists | st.dictionaries(st.sampled_from("ab"), inner) | lists.map(module)

    first = draw(st.recursive(st.sampled_from(pool), around, max_leaves=6))
    return [first, first, draw(st.sampled_from(pool))]


def description(x, seen):
    """What is in a structure, in plain values; what was met before is the number of its place."""
    if id(x) in seen:
        return "as", seen[id(x)]
    if isinstance(x, (tg.Tensor, nn.Module, list, dict)):
        seen[id(x)] = len(seen)
    if isinstance(x, tg.Tensor):
        grad = None if x.grad is None else (x.grad.dtype, x.grad.tolist())
        place = x.dtype, x.shape, x.device, x.requires_grad, hasattr(x, "_frozen")
        return x.tolist(), grad, *place
    if isinstance(x, nn.Module):
        paths = [path for path, _ in x.named_parameters()], [p for p, _ in x.named_buffers()]
        return type(x), paths, description(vars(x), seen)
    if isinstance(x, dict):
        return [(key, description(value, seen)) for key, value in x.items()]
    return [description(value, seen) for value in x] if isinstance(x, (list, tuple)) else x


@each_copy
@settings(max_examples=12, deadline=None)
@given(structures())
def test_a_copy_has_the_same_in_the_same_places(duplicate, structure):
    expected = description(structure, {})
    twin = duplicate(structure)
    assert description(twin, {}) == expected
    ours, theirs = structure[2], twin[2]
    assert not np.shares_memory(ours.data, theirs.data)
    theirs.data[...] = 1 - theirs.data if theirs.dtype != bool else ~theirs.data
    assert description(structure, {}) == expected


def test_a_shallow_copy_holds_the_same_parameters():
    model = nn.Sequential(nn.Dense(2, 2), nn.ReLU())
    twin = copy.copy(model)
    assert twin[0] is model[0]
    twin.name = "twin"
    assert not hasattr(model, "name")


# Whole trainings


def same(batch, rng=None):
    return batch


OPTIMIZERS = {
    name: partial(getattr(optim, name), lr=0.01)
    for name in (
        "Adam SGD AdamW RMSprop Adagrad NAdam RAdam Adamax Adadelta Rprop Lion Adan Adafactor LBFGS"
    ).split()
} | {"Lookahead": lambda params: optim.Lookahead(optim.SGD(params, lr=0.01, momentum=0.9), every=2)}
SCHEDULES = {
    "CosineLR": partial(optim.CosineLR, total_steps=20),
    "StepLR": partial(optim.StepLR, step_size=2),
    "OneCycleLR": partial(optim.OneCycleLR, max_lr=0.1, total_steps=20),
    "CosineRestartsLR": lambda optimizer: optim.CosineRestartsLR(optimizer, 5),
    "SequentialLR": lambda optimizer: optim.SequentialLR(
        optimizer,
        [partial(optim.LinearWarmup, warmup_steps=3), partial(optim.CosineLR, total_steps=9)],
        milestones=[3],
    ),
    "LambdaLR": lambda optimizer: optim.LambdaLR(optimizer, np.exp2),
}
X = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
SAMPLES = data.Dataset(X, X)
LOADERS = {
    "DataLoader": partial(data.DataLoader, SAMPLES, 3, shuffle=True, seed=1),
    "sampler": lambda: data.DataLoader(
        SAMPLES, 3, sampler=data.WeightedSampler(np.arange(1, 21), 10), seed=1
    ),
    "Map": lambda: data.Map(data.DataLoader(SAMPLES, 3, shuffle=True, seed=1), same),
    "Prefetch": lambda: data.Prefetch(data.DataLoader(SAMPLES, 3, shuffle=True, seed=1), 2),
}
WORLDS = [("Adam", "CosineLR", "Prefetch")]
OTHERS = [
    *((name, "CosineLR", "DataLoader") for name in OPTIMIZERS),
    *(("Adam", name, "DataLoader") for name in SCHEDULES),
    *(("Adam", "CosineLR", name) for name in LOADERS),
]


class Training:
    """A tied model, and what trains it."""

    def __init__(self, optimizer, schedule, loader):
        tg.seed(0)
        self.model = nn.Sequential(nn.Dense(4, 4), nn.Tanh(), nn.Dense(4, 4, bias=False))
        self.model[2].weight = self.model[0].weight
        self.optimizer = OPTIMIZERS[optimizer](self.model.parameters())
        self.schedule = SCHEDULES[schedule](self.optimizer)
        self.loader = LOADERS[loader]()
        self.average = optim.Average(self.model)
        self.scaler = optim.GradScaler()

    def loss(self, x, y):
        loss = tg.losses.mse(self.model(x), y)
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()
        return loss

    def go(self, steps):
        for _, (x, y) in zip(range(steps), self.loader, strict=False):
            if isinstance(self.optimizer, optim.LBFGS):
                self.scaler.enabled = False
                self.optimizer.step(partial(self.loss, x, y))
            else:
                self.loss(x, y)
                self.scaler.step(self.optimizer)
            self.schedule.step()
            self.average.update()
        return self

    def state(self):
        parts = self.model, self.optimizer, self.schedule, self.loader, self.average, self.scaler
        return pickle.dumps([plain(part.state_dict()) for part in parts])


def plain(state):
    """A state with the bytes of its arrays."""
    if isinstance(state, dict):
        return {name: plain(value) for name, value in state.items()}
    if isinstance(state, (list, tuple)):
        return [plain(value) for value in state]
    return np.asarray(state).tobytes() if hasattr(state, "shape") else state


@pytest.mark.parametrize(
    "duplicate", [COPIES["deepcopy"], COPIES["newest"]], ids=["copy", "pickle"]
)
@pytest.mark.parametrize(
    "world", [*WORLDS, *(pytest.param(world, marks=pytest.mark.long) for world in OTHERS)]
)
def test_a_copy_of_a_training_goes_on_as_the_original(world, duplicate):
    training = Training(*world).go(2)
    twin = duplicate(training)
    assert twin.model[2].weight is twin.model[0].weight
    assert twin.schedule.optimizer is twin.optimizer
    assert twin.state() == training.state()
    before = training.state()
    twin.go(3)
    assert training.state() == before, "the copy trains the original"
    assert twin.state() == training.go(3).state()
    assert training.state() != before


# Hooks, and what cannot be pickled


class Clipped(nn.Module):
    """A layer whose own method is the hook of its weight."""

    def __init__(self):
        self.weight = tg.ones(2, requires_grad=True)
        self.limit = 0.5
        self.weight.register_hook(self.clipped)

    def clipped(self, gradient):
        return gradient.clip(-self.limit, self.limit)

    def forward(self, x):
        return x * self.weight


@each_copy
@pytest.mark.parametrize("frozen", [False, True])
def test_hooks_come_along_and_belong_to_the_copy(duplicate, frozen):
    layer = Clipped()
    if frozen:
        layer.freeze()
    twin = duplicate(layer)
    twin.limit = 0.25
    for module, limit in ((layer, 0.5), (twin, 0.25)):
        module.unfreeze()
        module(tg.full(2, 3.0)).sum().backward()
        assert module.weight.grad.tolist() == [limit] * 2


def test_a_hook_that_is_removed_from_a_tensor_stays_in_its_copy():
    t = tg.ones(2, requires_grad=True)
    remove = t.register_hook(np.negative)
    twin = copy.deepcopy(t)
    remove()
    for x, expected in ((t, 1), (twin, -1)):
        x.sum().backward()
        assert x.grad.tolist() == [expected] * 2


def test_what_cannot_be_pickled_is_named():
    t = tg.ones(2, requires_grad=True)
    t.register_hook(lambda gradient: 2 * gradient)
    with pytest.raises((AttributeError, pickle.PicklingError), match="lambda"):
        pickle.dumps(t)
    assert copy.deepcopy(t).requires_grad
    loader = data.Map(data.DataLoader(SAMPLES), lambda batch: batch)
    with pytest.raises((AttributeError, pickle.PicklingError), match="lambda"):
        pickle.dumps(loader)
    with pytest.raises(tg.GraphError, match=r"the result of multiply.*use detach\(\)"):
        pickle.dumps({"loss": t * 2})


@needs_emulator
@each_copy
def test_a_copy_is_on_the_device_of_the_original(duplicate):
    t = tg.ones(2, requires_grad=True, device="cuda-emulator")
    t.grad = tg.ones(2, device="cuda-emulator")
    twin = duplicate([t, t])
    assert twin[0] is twin[1]
    assert twin[0].device == twin[0].grad.device == "cuda-emulator"
    assert twin[0].tolist() == [1, 1]
