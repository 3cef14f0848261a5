"""Optimizers of first choice: SGD, Adam, AdamW, SparseAdam, RMSprop, Adagrad.

Others are in adaptive.py.
"""

from tinygrad_like.optim.optimizer import Optimizer


class SGD(Optimizer):
    """velocity = momentum velocity + (1 - dampening) g; param -= lr velocity.

    Without momentum, velocity = g; so it is at the first step of a parameter, whatever the
    dampening. With `nesterov`, param -= lr (g + momentum velocity): Sutskever et al. 2013. Weight
    decay adds weight_decay param to the gradient g, here and in the others whose decay is not
    decoupled. `maximize` climbs instead: g is negated first, in every optimizer.

    Of `tg.SparseRows` a step costs the rows that they name, without momentum and weight decay.
    """

    kernel = "sgd_"
    buffers = ("velocity",)
    off_with_rows = "momentum", "weight_decay"

    def __init__(
        self,
        params,
        lr,
        *,
        momentum=0,
        dampening=0,
        nesterov=False,
        weight_decay=0,
        maximize=False,
    ):
        settings = {"momentum": momentum, "dampening": dampening, "nesterov": nesterov}
        super().__init__(params, lr=lr, **settings, weight_decay=weight_decay, maximize=maximize)

    def _together(self, options):
        if options["nesterov"] and not options["momentum"]:
            raise ValueError(f"[{type(self).__name__}] nesterov needs a momentum, got momentum=0")
        if options["nesterov"] and options.get("dampening"):
            raise ValueError(
                f"[{type(self).__name__}] nesterov needs dampening=0, got "
                f"{options['dampening']}: its look ahead is for undamped velocities"
            )
        return options

    def _kept(self, group):
        return self.buffers if group["momentum"] else ()

    def _settings(self, group, steps):
        rates = float(group["lr"]), float(group["momentum"])
        dampening = 0.0 if steps == 1 else float(group.get("dampening", 0))
        return *rates, dampening, bool(group["nesterov"]), float(group["weight_decay"])


class _Adam(Optimizer):
    """What Adam and AdamW share: everything but the kind of weight decay."""

    kernel = "adam_"
    buffers = ("m", "v", "largest")
    decoupled: bool  # whether weight decay shrinks the parameter, instead of being added to g

    def _kept(self, group):
        return self.buffers if group["amsgrad"] else self.buffers[:2]

    def _settings(self, group, steps):
        rates = group["lr"], *group["betas"], group["eps"], group["weight_decay"]
        return *map(float, rates), self.decoupled, steps


class Adam(_Adam):
    """param -= lr mhat / (sqrt(vhat) + eps), with bias-corrected running means of g and g^2.

    Source: Kingma and Ba 2015. With `amsgrad` the largest v so far takes the place of v, so that
    no step grows because old gradients are forgotten: Reddi, Kale and Kumar 2018, in PyTorch's
    form, which corrects the bias after the maximum.
    """

    decoupled = False

    def __init__(
        self,
        params,
        lr=1e-3,
        *,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0,
        amsgrad=False,
        maximize=False,
    ):
        settings = {"betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad}
        super().__init__(params, lr=lr, **settings, maximize=maximize)


class AdamW(_Adam):
    """Adam whose weight decay shrinks the parameter itself: param -= lr weight_decay param.

    Source: Loshchilov and Hutter 2019. `amsgrad` is as in Adam.
    """

    decoupled = True

    def __init__(
        self,
        params,
        lr=1e-3,
        *,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0.01,
        amsgrad=False,
        maximize=False,
    ):
        settings = {"betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad}
        super().__init__(params, lr=lr, **settings, maximize=maximize)


class SparseAdam(Optimizer):
    """Adam of the rows that a batch has read, for Embeddings with `sparse=True`; lazy Adam.

    m = beta1 m + (1 - beta1) g and v = beta2 v + (1 - beta2) g^2 for these rows alone, then
    param -= lr sqrt(1 - beta2^t) / (1 - beta1^t) m / (sqrt(v) + eps). The others keep their value,
    m and v, where Adam would move them on by their momentum; t counts all steps. A gradient that
    is dense is one that has read every row.

    It is PyTorch's SparseAdam, whose eps is not corrected for the bias as that of Adam is.
    Source: Kingma and Ba 2015, section 2, for the order of the corrections.

    >>> import numpy as np
    >>> from tinygrad_like import nn
    >>> words = nn.Embedding(1000, 2, sparse=True)
    >>> before = words.weight.numpy().copy()
    >>> optimizer = SparseAdam(words.parameters(), lr=0.1)
    >>> words(np.array([3, 9, 3])).sum().backward()
    >>> optimizer.step()
    >>> np.flatnonzero((words.weight.numpy() != before).any(axis=1)).tolist()
    [3, 9]
    """

    kernel = "adam_"
    buffers = ("m", "v", "largest")
    off_with_rows = ()

    def __init__(self, params, lr=1e-3, *, betas=(0.9, 0.999), eps=1e-8, maximize=False):
        super().__init__(params, lr=lr, betas=betas, eps=eps, maximize=maximize)

    def _kept(self, group):
        return self.buffers[:2]

    def _settings(self, group, steps):
        beta1, beta2 = map(float, group["betas"])
        eps = group["eps"] / (1 - beta2**steps) ** 0.5
        return float(group["lr"]), beta1, beta2, float(eps), 0.0, False, steps


class RMSprop(Optimizer):
    """v = alpha v + (1 - alpha) g^2; param -= lr g / (sqrt(v) + eps).

    With momentum, g / (sqrt(v) + eps) is accumulated as in SGD. Source: Hinton 2012, lecture 6.
    `centered` takes the variance v - mean^2 for v, with a running mean of g: Graves 2013.
    """

    kernel = "rmsprop_"
    buffers = ("v", "velocity", "mean")

    def __init__(
        self,
        params,
        lr=1e-2,
        *,
        alpha=0.99,
        eps=1e-8,
        momentum=0,
        centered=False,
        weight_decay=0,
        maximize=False,
    ):
        settings = {"alpha": alpha, "eps": eps, "momentum": momentum, "centered": centered}
        super().__init__(params, lr=lr, **settings, weight_decay=weight_decay, maximize=maximize)

    def _kept(self, group):
        needed = "v", group["momentum"] and "velocity", group["centered"] and "mean"
        return tuple(name for name in needed if name)

    def _settings(self, group, steps):
        names = "lr", "alpha", "eps", "momentum", "weight_decay"
        return tuple(float(group[name]) for name in names)


class Adagrad(Optimizer):
    """s += g^2; param -= lr g / (sqrt(s) + eps). Source: Duchi, Hazan and Singer 2011.

    s begins with `initial_accumulator_value`; lr is divided by 1 + lr_decay t, t steps after the
    first. Of `tg.SparseRows` a step costs the rows that they name, without weight decay.
    """

    kernel = "adagrad_"
    buffers = ("s",)
    off_with_rows = ("weight_decay",)

    def __init__(
        self,
        params,
        lr=1e-2,
        *,
        lr_decay=0,
        initial_accumulator_value=0,
        eps=1e-10,
        weight_decay=0,
        maximize=False,
    ):
        settings = {"lr_decay": lr_decay, "initial_accumulator_value": initial_accumulator_value}
        super().__init__(
            params, lr=lr, **settings, eps=eps, weight_decay=weight_decay, maximize=maximize
        )

    def _initial(self, group):
        return {"s": group["initial_accumulator_value"]}

    def _settings(self, group, steps):
        lr = group["lr"] / (1 + (steps - 1) * group["lr_decay"])
        return float(lr), float(group["eps"]), float(group["weight_decay"])
