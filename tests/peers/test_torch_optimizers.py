"""PyTorch's own samples of its optimizers, and its schedules: ours makes the same steps.

Each set of options in `optim_db`, and each of its schedules with an optimizer, makes 30 steps from
the same start in float64. All options of PyTorch's constructors are accounted for: ours has them,
with the same default, or they are listed here with the reason.
"""

import functools
import inspect
from functools import partial

import numpy as np
import pytest
from oracle import needs_torch, torch
from torch_samples import from_testing, one_thread

import tinygrad_like as tg
from tinygrad_like import optim

pytestmark = [needs_torch, pytest.mark.long]

STEPS = 30
FEW_STEPS = {"LBFGS": 2}  # of 20 iterations each, which amplify roundings 100 times in a step

OPTIMIZERS = (
    "Adadelta Adafactor Adagrad Adam Adamax AdamW LBFGS Muon NAdam RAdam RMSprop Rprop SGD "
    "SparseAdam"
).split()

NOT_HERE = {
    "ASGD": "its mean of the weights is optim.Average, of any optimizer's",
}

HOW_LOOPS_RUN = "how PyTorch's loops over parameters run: there is one way here"
REFUSED = {
    "foreach": HOW_LOOPS_RUN,
    "fused": HOW_LOOPS_RUN,
    "capturable": "steps inside a CUDA graph, which is not captured here",
    "differentiable": "gradients through a step: a step of one's own, in functions, has them",
}
OTHER_DEFAULTS = {("SGD", "lr"): "no rate suits all models: it has to be said"}
NO_OPTION = {("Adam", "decoupled_weight_decay"): "that is AdamW"}

# PyTorch's schedule: ours, and our names of its arguments where they differ.
SCHEDULES = {
    "LambdaLR": ("LambdaLR", {"lr_lambda": "f"}),
    "StepLR": ("StepLR", {}),
    "MultiStepLR": ("MultiStepLR", {}),
    "ConstantLR": ("ConstantLR", {"total_iters": "total_steps"}),
    "LinearLR": (
        "LinearLR",
        {"start_factor": "start", "end_factor": "end", "total_iters": "total_steps"},
    ),
    "ExponentialLR": ("ExponentialLR", {}),
    "CosineAnnealingLR": ("CosineLR", {"T_max": "total_steps", "eta_min": "min_lr"}),
    "PolynomialLR": ("PolynomialLR", {"total_iters": "total_steps"}),
    "CosineAnnealingWarmRestarts": (
        "CosineRestartsLR",
        {"T_0": "first_steps", "T_mult": "growth", "eta_min": "min_lr"},
    ),
    "OneCycleLR": ("OneCycleLR", {}),
    "CyclicLR": ("CyclicLR", {}),
    "ReduceLROnPlateau": ("ReduceOnPlateau", {}),
    "SequentialLR": ("SequentialLR", {"schedulers": "parts"}),
    "ChainedScheduler": ("ChainedLR", {"schedulers": "parts"}),
    "LRScheduler": ("Schedule", {}),
}
NO_SCHEDULE = {"MultiplicativeLR": "its product is a LambdaLR"}
NO_ARGUMENT = {
    "last_epoch": "where a schedule stands is part of its state, which is loaded",
    "epochs": "epochs times steps_per_epoch are total_steps",
    "steps_per_epoch": "epochs times steps_per_epoch are total_steps",
}


def falling(step):
    return 1 / (1 + step)


RATES = [  # PyTorch's schedule and its arguments
    ("LambdaLR", {"lr_lambda": falling}),
    ("StepLR", {"step_size": 4, "gamma": 0.5}),
    ("MultiStepLR", {"milestones": [3, 10, 10, 20], "gamma": 0.5}),
    ("ConstantLR", {"factor": 0.3, "total_iters": 7}),
    ("LinearLR", {"start_factor": 0.2, "end_factor": 0.7, "total_iters": 9}),
    ("ExponentialLR", {"gamma": 0.9}),
    ("CosineAnnealingLR", {"T_max": STEPS, "eta_min": 0.001}),
    ("PolynomialLR", {"total_iters": 25, "power": 2.0}),
    ("CosineAnnealingWarmRestarts", {"T_0": 4, "T_mult": 2, "eta_min": 0.001}),
    ("OneCycleLR", {"max_lr": 0.1, "total_steps": STEPS + 1}),
    (
        "OneCycleLR",
        {
            "max_lr": 0.1, "total_steps": STEPS + 1, "pct_start": 0.4, "anneal_strategy": "linear",
            "base_momentum": 0.6, "max_momentum": 0.8, "div_factor": 10.0,
            "final_div_factor": 100.0, "three_phase": True,
        },
    ),
    ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 4}),
    (
        "CyclicLR",
        {
            "base_lr": 0.01, "max_lr": 0.1, "step_size_up": 4, "step_size_down": 6,
            "mode": "exp_range", "gamma": 0.97, "base_momentum": 0.5, "max_momentum": 0.8,
        },
    ),
    ("ReduceLROnPlateau", {}),
    (
        "ReduceLROnPlateau",
        {
            "factor": 0.5, "patience": 1, "mode": "max", "threshold": 0.01,
            "threshold_mode": "abs", "cooldown": 2, "min_lr": 0.001, "eps": 1e-4,
        },
    ),
]  # fmt: skip


@functools.cache
def infos():
    found = from_testing("common_optimizers").optim_db
    return {info.optim_cls.__name__: info for info in found}


# A small problem: two matrices, of which one is shifted where an optimizer takes more than those.

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(20, 5)), RNG.normal(size=(20, 3))
START = [RNG.normal(size=shape) for shape in ((5, 4), (4, 3), (3,))]


def loss(library, x, y, params):
    first, second, *shift = params
    out = library.tanh(x @ first) @ second
    for b in shift:
        out = out + b
    return ((out - y) ** 2).mean()


class Walk:
    """An optimizer on the small problem: ours, or PyTorch's."""

    def __init__(self, library, kind, options):
        self.library = library
        start = START[:2] if kind == "Muon" else START
        if library is torch:
            self.params = [torch.tensor(p, requires_grad=True) for p in start]
            self.data = torch.tensor(X), torch.tensor(Y)
        else:
            self.params = [tg.Tensor(p.copy(), requires_grad=True) for p in start]
            self.data = X, Y
        self.optimizer = getattr(library.optim, kind)(self.params, **options)

    def closure(self):
        self.optimizer.zero_grad()
        value = loss(self.library, *self.data, self.params)
        value.backward()
        if isinstance(self.optimizer, torch.optim.SparseAdam):  # ours takes dense gradients, too
            for p in self.params:
                p.grad = p.grad.to_sparse()
        return value

    def step(self):
        if type(self.optimizer).__name__ == "LBFGS":
            value = self.optimizer.step(self.closure)
        else:
            value = self.closure()
            self.optimizer.step()
        return value.item()

    def values(self):
        return [p.detach().numpy() for p in self.params]

    def settings(self):
        """The rate of each group, and the momentum that a schedule may cycle."""
        return [
            (group["lr"], group["betas"][0] if "betas" in group else group.get("momentum"))
            for group in self.optimizer.param_groups
        ]


@pytest.fixture(autouse=True)
def double(monkeypatch):
    """PyTorch keeps NAdam's product of momenta in its default dtype, and rounds Muon's matrices."""
    monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.clone)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    with one_thread():
        yield
    torch.set_default_dtype(before)


def compare(ours, theirs, schedules=((), ())):
    """Steps of both, in which schedules move on, and agree in rates and parameters."""
    for step in range(FEW_STEPS.get(type(ours.optimizer).__name__, STEPS)):
        for own, other in zip(ours.settings(), theirs.settings(), strict=True):
            np.testing.assert_allclose(
                [x for x in own if x is not None], [float(x) for x in other if x is not None],
                1e-10, 1e-15, err_msg=f"rate, step {step}",
            )  # fmt: skip
        losses = ours.step(), theirs.step()
        for x, y in zip(
            [*losses[:1], *ours.values()], [*losses[1:], *theirs.values()], strict=True
        ):
            np.testing.assert_allclose(x, y, 1e-10, 1e-12, err_msg=f"step {step}")
        for value, own in zip(losses, schedules, strict=True):
            for schedule in own:
                schedule.step(*([value] if watches_a_metric(schedule) else []))


def watches_a_metric(schedule):
    return "Plateau" in type(schedule).__name__


def plain(options):
    """Options with numbers in place of Tensors, which ours refuses."""
    return {key: x.item() if isinstance(x, torch.Tensor) else x for key, x in options.items()}


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_each_set_of_options_makes_pytorchs_steps(kind):
    for sample in infos()[kind].optim_inputs_func(device="cpu"):
        theirs = Walk(torch, kind, sample.kwargs)
        options = {"lr": theirs.optimizer.defaults["lr"]} | sample.kwargs
        compare(Walk(tg, kind, plain(options)), theirs)
        if isinstance(options["lr"], torch.Tensor):
            with pytest.raises(TypeError, match=r"lr is .* expected a number; use \.item"):
                Walk(tg, kind, {"lr": tg.Tensor(0.1)})


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_each_option_of_pytorch_is_here_with_its_default_or_listed(kind):
    ours = inspect.signature(getattr(optim, kind)).parameters
    theirs = inspect.signature(getattr(torch.optim, kind)).parameters
    for name, parameter in theirs.items():
        if name in REFUSED or (kind, name) in NO_OPTION:
            with pytest.raises(TypeError, match=f"unexpected keyword argument '{name}'"):
                Walk(tg, kind, {"lr": 0.1, name: True})
        elif (kind, name) in OTHER_DEFAULTS:
            assert ours[name].default != parameter.default
        else:
            assert ours[name].default == parameter.default, name
    assert set(infos()[kind].supported_impls) <= REFUSED.keys()


@pytest.mark.parametrize(
    ("name", "arguments"), RATES, ids=[f"{i}-{row[0]}" for i, row in enumerate(RATES)]
)
@pytest.mark.parametrize("kind", ["SGD", "AdamW"])
def test_schedules_make_pytorchs_steps(kind, name, arguments):
    options = {"lr": 0.05} | ({"momentum": 0.9} if kind == "SGD" else {})
    ours, theirs = Walk(tg, kind, options), Walk(torch, kind, options)
    other = getattr(torch.optim.lr_scheduler, name)(theirs.optimizer, **arguments)
    own, names = SCHEDULES[name]
    renamed = {names.get(key, key): value for key, value in arguments.items()}
    compare(ours, theirs, ([getattr(optim, own)(ours.optimizer, **renamed)], [other]))


def part(theirs):
    """Ours of a schedule that PyTorch's sample has made, still to get its optimizer."""
    kind, names = SCHEDULES[type(theirs).__name__]
    arguments = inspect.signature(type(theirs)).parameters.keys() - {"optimizer", *NO_ARGUMENT}
    given = {names.get(key, key): getattr(theirs, key) for key in arguments}
    return partial(getattr(optim, kind), **given)


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_pytorchs_samples_of_schedules_make_its_steps(kind):
    for makers in infos()[kind].scheduler_inputs:
        ours, theirs = Walk(tg, kind, {"lr": 0.01}), Walk(torch, kind, {"lr": 0.01})
        others = [make(theirs.optimizer) for make in makers]
        if len(others) > 1 and any(map(watches_a_metric, others)):
            refuse_two_schedules(ours)
            continue
        if len(others) == 1:
            own = part(others[0])(ours.optimizer)
        else:
            own = optim.ChainedLR(ours.optimizer, [part(s) for s in others])
        compare(ours, theirs, ([own], others))


def refuse_two_schedules(walk):
    """A function of the step and one of a metric: each would take the other's rate for its own."""
    first = optim.ExponentialLR(walk.optimizer, 0.9)
    optim.ReduceOnPlateau(walk.optimizer, patience=0)
    walk.optimizer.param_groups[0]["lr"] *= 0.1
    with pytest.raises(ValueError, match="another schedule"):
        first.step()


def their_parts(optimizer):
    s = torch.optim.lr_scheduler
    return [s.LinearLR(optimizer, 0.2, 1.0, 6), s.ExponentialLR(optimizer, 0.9)]


@pytest.mark.parametrize("name", ["SequentialLR", "ChainedScheduler"])
def test_compound_schedules_make_pytorchs_steps(name):
    ours, theirs = Walk(tg, "SGD", {"lr": 0.05}), Walk(torch, "SGD", {"lr": 0.05})
    parts = [
        partial(optim.LinearLR, total_steps=6, start=0.2), partial(optim.ExponentialLR, gamma=0.9)
    ]  # fmt: skip
    more = {"milestones": [6]} if name == "SequentialLR" else {}
    own = getattr(optim, SCHEDULES[name][0])(ours.optimizer, parts, **more)
    scheduler = getattr(torch.optim.lr_scheduler, name)
    if name == "SequentialLR":
        other = scheduler(theirs.optimizer, their_parts(theirs.optimizer), **more)
    else:
        other = scheduler(their_parts(theirs.optimizer))
    compare(ours, theirs, ([own], [other]))


def test_every_optimizer_and_schedule_of_pytorch_is_compared_or_listed():
    """The lists are printed: `pytest -m long -s` shows them."""
    for name, why in (NOT_HERE | REFUSED | NO_OPTION | OTHER_DEFAULTS | NO_SCHEDULE).items():
        print(f"not here: {name}: {why}")
    for name, why in NO_ARGUMENT.items():
        print(f"not here, of schedules: {name}: {why}")
    assert {*OPTIMIZERS, *NOT_HERE} == infos().keys()
    schedules = torch.optim.lr_scheduler
    assert SCHEDULES.keys() | NO_SCHEDULE.keys() == set(schedules.__all__)
    assert {name for name, _ in RATES} | {"SequentialLR", "ChainedScheduler", "LRScheduler"} == (
        SCHEDULES.keys()
    )
    for name, (own, names) in SCHEDULES.items():
        ours = inspect.signature(getattr(optim, own)).parameters
        theirs = inspect.signature(getattr(schedules, name)).parameters
        expected = {names.get(key, key) for key in theirs.keys() - NO_ARGUMENT.keys()}
        assert expected <= ours.keys(), name
