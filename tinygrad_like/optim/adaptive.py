"""Optimizers whose step depends on the history of each element: NAdam, RAdam, Adamax and others.

Weight decay adds weight_decay param to the gradient g, or, where it is decoupled, shrinks the
parameter itself by lr weight_decay param.
"""

import numpy as np

from tinygrad_like.optim.optimizer import Optimizer
from tinygrad_like.optim.parameters import CHECKS, several


class _Moments(Optimizer):
    """What NAdam and RAdam share: Adam's running means, decay of two kinds, the kernel."""

    kernel = "nadam_"
    buffers = ("m", "v")

    def _settings(self, group, steps):
        beta1, beta2 = group["betas"]
        size, ahead, scale, eps = self._factors(group, steps, beta1, beta2)
        decay, shrink = group["weight_decay"], 0.0
        if group["decoupled_weight_decay"]:
            decay, shrink = 0.0, group["lr"] * decay
        rates = size, ahead, beta1, beta2, scale, eps, decay, shrink
        return tuple(map(float, rates))

    def _factors(self, group, steps, beta1, beta2):
        """size, ahead, scale and eps of the kernel."""
        raise NotImplementedError


class NAdam(_Moments):
    """Adam that looks ahead, as Nesterov's momentum does.

    param -= lr ((1 - mu) g / (1 - P) + mu' m / (1 - P mu')) / (sqrt(vhat) + eps), where mu =
    beta1 (1 - 0.96^(momentum_decay t) / 2) at step t, mu' that of the next step, and P the product
    of mu so far. Source: Dozat 2016, "Incorporating Nesterov momentum into Adam". `P` is computed
    with the present beta1, as a bias correction is: PyTorch keeps it, which differs where a
    schedule changes beta1.

    >>> import tinygrad_like as tg
    >>> w = tg.Tensor([1.0, -1.0], requires_grad=True)
    >>> optimizer = NAdam([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    Tensor([ 0.8943548, -0.8943548], dtype=float32, requires_grad=True)
    """

    def __init__(
        self,
        params,
        lr=2e-3,
        *,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0,
        momentum_decay=4e-3,
        decoupled_weight_decay=False,
        maximize=False,
    ):
        settings = {"betas": betas, "eps": eps, "weight_decay": weight_decay}
        settings["momentum_decay"] = momentum_decay
        settings["decoupled_weight_decay"] = decoupled_weight_decay
        super().__init__(params, lr=lr, **settings, maximize=maximize)

    def _factors(self, group, steps, beta1, beta2):
        def momentum(step):
            return beta1 * (1 - 0.5 * 0.96 ** (step * group["momentum_decay"]))

        # Past this many steps the product is below 2^-60 and no longer changes 1 - product.
        enough = np.ceil(-60 / np.log2(beta1)) if beta1 else 1
        product = np.prod(momentum(np.arange(1, min(steps, enough) + 1)))
        mu, following = momentum(steps), momentum(steps + 1)
        lr = group["lr"]
        size, ahead = lr * following / (1 - product * following), lr * (1 - mu) / (1 - product)
        return size, ahead, (1 - beta2**steps) ** -0.5, group["eps"]


class RAdam(_Moments):
    """Adam whose step is rectified while v is still uncertain; the first steps do without v.

    Source: Liu et al. 2020, "On the variance of the adaptive learning rate and beyond"; eps is
    added before the bias of v is corrected, as in PyTorch.

    >>> import tinygrad_like as tg
    >>> w = tg.Tensor([1.0, -1.0], requires_grad=True)
    >>> optimizer = RAdam([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    Tensor([ 0.8, -0.8], dtype=float32, requires_grad=True)
    """

    def __init__(
        self,
        params,
        lr=1e-3,
        *,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0,
        decoupled_weight_decay=False,
        maximize=False,
    ):
        settings = {"betas": betas, "eps": eps, "weight_decay": weight_decay}
        settings["decoupled_weight_decay"] = decoupled_weight_decay
        super().__init__(params, lr=lr, **settings, maximize=maximize)

    def _factors(self, group, steps, beta1, beta2):
        size, rest = group["lr"] / (1 - beta1**steps), 1 - beta2**steps
        most = 2 / (1 - beta2) - 1
        length = most - 2 * steps * beta2**steps / rest
        if length <= 5:
            return size, 0.0, 0.0, 1.0
        rectified = (length - 4) * (length - 2) * most / ((most - 4) * (most - 2) * length)
        return size * (rectified * rest) ** 0.5, 0.0, 1.0, group["eps"]


class Adamax(Optimizer):
    """u = max(beta2 u, |g| + eps); param -= lr mhat / u, with the m of Adam.

    Source: Kingma and Ba 2015, section 7.1; eps as in PyTorch.
    """

    kernel = "adamax_"
    buffers = ("m", "u")

    def __init__(
        self, params, lr=2e-3, *, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, maximize=False
    ):
        settings = {"betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, lr=lr, **settings, maximize=maximize)

    def _settings(self, group, steps):
        beta1, beta2 = group["betas"]
        size = group["lr"] / (1 - beta1**steps)
        return tuple(map(float, (size, beta1, beta2, group["eps"], group["weight_decay"])))


class Adadelta(Optimizer):
    """update = sqrt(delta + eps) / sqrt(v + eps) g; param -= lr update.

    v and delta are running means of g^2 and of update^2. Source: Zeiler 2012.
    """

    kernel = "adadelta_"
    buffers = ("v", "delta")

    def __init__(self, params, lr=1.0, *, rho=0.9, eps=1e-6, weight_decay=0, maximize=False):
        super().__init__(
            params, lr=lr, rho=rho, eps=eps, weight_decay=weight_decay, maximize=maximize
        )

    def _settings(self, group, steps):
        return tuple(float(group[name]) for name in ("lr", "rho", "eps", "weight_decay"))


class Rprop(Optimizer):
    """Steps of a size that grows while the sign of the gradient stays, for full batches.

    size *= etas[1] where the sign stays and etas[0] where it changes, within `step_sizes`;
    param -= size sign(g). Where it changes, the parameter waits for one step. The first size is lr;
    later the learning rate does not count. Source: Riedmiller and Braun 1993.
    """

    kernel = "rprop_"
    buffers = ("before", "size")
    checks = CHECKS | {"etas": several(2), "step_sizes": several(2)}

    def __init__(self, params, lr=1e-2, *, etas=(0.5, 1.2), step_sizes=(1e-6, 50), maximize=False):
        super().__init__(params, lr=lr, etas=etas, step_sizes=step_sizes, maximize=maximize)

    def _together(self, options):
        (less, more), (least, most) = options["etas"], options["step_sizes"]
        if not 0 < less < 1 < more:
            raise ValueError(f"[Rprop] etas is {less, more}, expected one below 1 and one above 1")
        if least > most:
            raise ValueError(f"[Rprop] step_sizes is {least, most}, expected the smaller one first")
        return options

    def _initial(self, group):
        return {"size": group["lr"]}

    def _settings(self, group, steps):
        return tuple(map(float, (*group["etas"], *group["step_sizes"])))


class Lion(Optimizer):
    """param -= lr (sign(beta1 m + (1 - beta1) g) + weight_decay param), then m = beta2 m + ...

    m is the running mean of g. Every element moves by lr, so that lr is 3 to 10 times smaller than
    Adam's, and the decay as much larger. Source: Chen et al. 2023, "Symbolic discovery of
    optimization algorithms".

    >>> import tinygrad_like as tg
    >>> w = tg.Tensor([1.0, -3.0], requires_grad=True)
    >>> optimizer = Lion([w], lr=0.5)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.numpy().tolist()
    [0.5, -2.5]
    """

    kernel = "lion_"
    buffers = ("m",)

    def __init__(self, params, lr=1e-4, *, betas=(0.9, 0.99), weight_decay=0, maximize=False):
        super().__init__(params, lr=lr, betas=betas, weight_decay=weight_decay, maximize=maximize)

    def _settings(self, group, steps):
        return tuple(map(float, (group["lr"], *group["betas"], group["weight_decay"])))


class Adan(Optimizer):
    """Adam with Nesterov's momentum from the change of the gradient, d = g - g of the step before.

    m, v and n are running means of g, of d and of (g + beta2 d)^2, their biases corrected;
    param = (param - lr (m + beta2 v) / (sqrt(n) + eps)) / (1 + lr weight_decay). Source: Xie et
    al. 2022, "Adan: adaptive Nesterov momentum algorithm", algorithm 1, and its authors' program.

    >>> import tinygrad_like as tg
    >>> w = tg.Tensor([1.0, -3.0], requires_grad=True)
    >>> optimizer = Adan([w], lr=0.5)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.numpy().tolist()
    [0.5, -2.5]
    """

    kernel = "adan_"
    buffers = ("m", "v", "n", "before")
    checks = CHECKS | {"betas": several(3)}

    def __init__(
        self, params, lr=1e-3, *, betas=(0.98, 0.92, 0.99), eps=1e-8, weight_decay=0, maximize=False
    ):
        settings = {"betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, lr=lr, **settings, maximize=maximize)

    def _settings(self, group, steps):
        lr, betas = group["lr"], group["betas"]
        rest1, rest2, rest3 = (1 - beta**steps for beta in betas)
        root = rest3**0.5  # which corrects the bias of sqrt(n), here in what is divided by it
        size, ahead = lr * root / rest1, lr * root * betas[1] / rest2
        rates = size, ahead, *betas, group["eps"] * root, lr * group["weight_decay"]
        return *map(float, rates), steps == 1
