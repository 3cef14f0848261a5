"""Optimizers, learning-rate schedules and gradient clipping.

optimizer = Adam(model.parameters(), lr=1e-3)
schedule = CosineLR(optimizer, total_steps=1000, warmup_steps=50)
for x, labels in batches:
    optimizer.zero_grad()
    cross_entropy(model(x), labels).backward()
    clip_grad_norm(model.parameters(), 1.0)
    optimizer.step()
    schedule.step()

optimizer.py    Optimizer: groups, a step for all parameters or for none, states
optimizers.py   SGD, Adam, AdamW, SparseAdam, RMSprop, Adagrad; a step is one kernel call per
                parameter
rows.py         steps by the gradients of Embeddings with sparse=True: SGD, Adagrad, SparseAdam
adaptive.py     NAdam, RAdam, Adamax, Adadelta, Rprop, Lion, Adan, in the same way
matrices.py     Muon and Adafactor, which see rows and columns
lookahead.py    Lookahead: slow weights that follow those of another optimizer
lbfgs.py        LBFGS, which evaluates the loss itself; line_search.py: where it goes along a line
states.py       what an optimizer keeps for each parameter, saved, loaded and copied
parameters.py   checks of parameters and of settings; groups by shape and by pattern
schedules.py    the learning rate as a function of the step; ReduceOnPlateau, of a metric
cycles.py       rates that rise and fall, with the momentum against them; restarts
compound.py     schedules in sequence, multiplied, or one for each group
scaling.py      GradScaler: for gradients in float16
clipping.py     gradients scaled to a norm, or cut to a range
noise.py        norms of gradients by layer; the noise scale, which says how large a batch pays
average.py      Average: a moving average of the weights, swapped in for evaluation
rates.py        find_learning_rate: the loss at rising rates
exchange.py     other arrays in place of a model's own, for a while

Left out: PyTorch's `foreach`, `fused`, `capturable` and `differentiable` say how its loops run, and
there is one way here; ASGD, whose mean of the weights is `Average`; MultiplicativeLR, whose product
is a LambdaLR.
"""

from tinygrad_like.optim.adaptive import Adadelta, Adamax, Adan, Lion, NAdam, RAdam, Rprop
from tinygrad_like.optim.average import Average
from tinygrad_like.optim.clipping import clip_grad_norm, clip_grad_value
from tinygrad_like.optim.compound import ChainedLR, PerGroupLR, SequentialLR
from tinygrad_like.optim.cycles import CosineRestartsLR, CyclicLR, OneCycleLR
from tinygrad_like.optim.lbfgs import LBFGS
from tinygrad_like.optim.lookahead import Lookahead
from tinygrad_like.optim.matrices import Adafactor, Muon
from tinygrad_like.optim.noise import NoiseScale, gradient_norms, noise_scale
from tinygrad_like.optim.optimizer import Optimizer
from tinygrad_like.optim.optimizers import SGD, Adagrad, Adam, AdamW, RMSprop, SparseAdam
from tinygrad_like.optim.parameters import decay_groups, pattern_groups
from tinygrad_like.optim.rates import Rates, find_learning_rate
from tinygrad_like.optim.scaling import GradScaler
from tinygrad_like.optim.schedules import (
    ConstantLR,
    CosineLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    LinearWarmup,
    MultiStepLR,
    PolynomialLR,
    ReduceOnPlateau,
    Schedule,
    StepLR,
    WarmupStableDecay,
)

__all__ = [
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Adan",
    "Average",
    "ChainedLR",
    "ConstantLR",
    "CosineLR",
    "CosineRestartsLR",
    "CyclicLR",
    "ExponentialLR",
    "GradScaler",
    "LambdaLR",
    "LinearLR",
    "LinearWarmup",
    "Lion",
    "Lookahead",
    "MultiStepLR",
    "Muon",
    "NAdam",
    "NoiseScale",
    "OneCycleLR",
    "Optimizer",
    "PerGroupLR",
    "PolynomialLR",
    "RAdam",
    "RMSprop",
    "Rates",
    "ReduceOnPlateau",
    "Rprop",
    "Schedule",
    "SequentialLR",
    "SparseAdam",
    "StepLR",
    "WarmupStableDecay",
    "clip_grad_norm",
    "clip_grad_value",
    "decay_groups",
    "find_learning_rate",
    "gradient_norms",
    "noise_scale",
    "pattern_groups",
]
