"""Optimizers, learning-rate schedules and gradient clipping.

optimizer = Adam(model.parameters(), lr=1e-3)
schedule = CosineLR(optimizer, total_steps=1000, warmup_steps=50)
for x, labels in batches:
    optimizer.zero_grad()
    cross_entropy(model(x), labels).backward()
    clip_grad_norm(model.parameters(), 1.0)
    optimizer.step()
    schedule.step()

optimizers.py   SGD, Adam, AdamW, RMSprop, Adagrad; a step is one kernel call per parameter
states.py       what an optimizer keeps for each parameter, saved, loaded and copied
parameters.py   checks of parameters and of settings; groups by shape and by pattern
schedules.py    the learning rate as a function of the step; ReduceOnPlateau, of a metric
scaling.py      GradScaler: for gradients in float16
clipping.py     gradients scaled to a norm, or cut to a range
average.py      Average: a moving average of the weights, swapped in for evaluation
rates.py        find_learning_rate: the loss at rising rates
exchange.py     other arrays in place of a model's own, for a while
"""

from tinygrad_like.optim.average import Average
from tinygrad_like.optim.clipping import clip_grad_norm, clip_grad_value
from tinygrad_like.optim.optimizers import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop
from tinygrad_like.optim.parameters import decay_groups, pattern_groups
from tinygrad_like.optim.rates import Rates, find_learning_rate
from tinygrad_like.optim.scaling import GradScaler
from tinygrad_like.optim.schedules import (
    CosineLR,
    ExponentialLR,
    LambdaLR,
    LinearWarmup,
    PolynomialLR,
    ReduceOnPlateau,
    Schedule,
    StepLR,
)

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Average",
    "CosineLR",
    "ExponentialLR",
    "GradScaler",
    "LambdaLR",
    "LinearWarmup",
    "Optimizer",
    "PolynomialLR",
    "RMSprop",
    "Rates",
    "ReduceOnPlateau",
    "Schedule",
    "StepLR",
    "clip_grad_norm",
    "clip_grad_value",
    "decay_groups",
    "find_learning_rate",
    "pattern_groups",
]
