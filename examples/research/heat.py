"""Solve the heat equation with a network: a physics-informed network.

    python examples/research/heat.py

A rod of length 1 is warm, u(x, 0) = sin(pi x) + sin(3 pi x) / 2, and its ends are kept at 0. How
does it cool? The temperature obeys u_t = 0.1 u_xx. A network u(x, t) is trained on that alone: the
loss is how far it is from the equation at random points, and from the known values at the start
and at the ends. No solution is ever shown to it.

So derivatives of the network with respect to its input are part of the loss, which is in turn
differentiated with respect to the weights: three orders in all. The derivatives are written for
one point, and `tg.vmap` takes them at many.

Printed is the error in the end, relative to the exact solution, which is known for this start:
the two waves decay, the shorter one nine times as fast. The picture shows both solutions.

Source: Raissi et al. 2019, "Physics-informed neural networks", section 3.
"""

import numpy as np

import tinygrad_like as tg
from tinygrad_like import nn
from tinygrad_like.training import at_least, command_line, open_run, run_program

CONDUCTION = 0.1


def exact(x, t):
    """The solution: each wave of the start decays at a rate of its own."""
    slow = tg.exp(-CONDUCTION * np.pi**2 * t) * tg.sin(np.pi * x)
    return slow + tg.exp(-CONDUCTION * 9 * np.pi**2 * t) * tg.sin(3 * np.pi * x) / 2


def network(width):
    layers = nn.Dense(2, width), nn.Tanh(), nn.Dense(width, width), nn.Tanh(), nn.Dense(width, 1)
    return nn.Sequential(*layers)


def temperature(model, x, t):
    """u of points, each of x and t (N,), or of a single one, ()."""
    return model(tg.stack([2 * x - 1, 2 * t - 1], axis=-1))[..., 0]


def residual(model, x, t):
    """u_t - 0.1 u_xx at one point."""

    def u_x(x):
        return tg.grad(lambda x: temperature(model, x, t))(x)

    u_t = tg.grad(lambda t: temperature(model, x, t))(t)
    return u_t - CONDUCTION * tg.grad(u_x)(x)


def loss_at(model, x, t):
    """How far the model is from the equation, and how far from what is known, at N points each."""
    equation = tg.vmap(lambda x, t: residual(model, x, t))(x, t)
    start = temperature(model, x, tg.zeros_like(t)) - exact(x, tg.zeros_like(t))
    ends = temperature(model, tg.round(x), t)  # at x = 0 or x = 1, half of the points each
    return (equation**2).mean(), (start**2).mean() + (ends**2).mean()


def solutions(model):
    """The network's and the exact solution on a grid, (51, 101) each: places and times."""
    x = tg.broadcast_to(tg.linspace(0, 1, 51)[:, None], (51, 101))
    t = tg.broadcast_to(tg.linspace(0, 1, 101), (51, 101))
    return temperature(model, x, t).numpy(), exact(x, t).numpy()


def draw_solutions(figure, found, true):
    above, below = figure.subplots(2)
    place = {"extent": (0, 1, 0, 1), "origin": "lower", "aspect": "auto"}
    picture = above.imshow(found, cmap="inferno", **place)
    above.set(title="u(x, t) of the network", xlabel="time t", ylabel="place x")
    figure.colorbar(picture)
    for k in (0, 10, 30, 100):
        below.plot(np.linspace(0, 1, 51), true[:, k], color="0.8", linewidth=5)
        below.plot(np.linspace(0, 1, 51), found[:, k], label=f"t = {k / 100}")
    below.set(title="in grey: exact", xlabel="place x", ylabel="temperature u")
    below.legend(frameon=False, ncols=4, loc="lower center", fontsize=8)


def parse(arguments=None):
    parser = command_line(__doc__, out="runs/heat")
    add = parser.add_argument
    add("--steps", type=at_least(1), default=3000)
    add("--points", type=at_least(1), default=256, help="random ones, in a step")
    add("--width", type=at_least(1), default=64, help="of the two hidden layers")
    add("--lr", type=float, default=5e-3, help="learning rate, at the start")
    add("--known", type=at_least(0, float), default=30, help="weight of the known values")
    return parser.parse_args(arguments)


def main(arguments=None):
    args = parse(arguments)
    tg.set_device(args.device)
    tg.seed(args.seed)
    model = network(args.width)
    optimizer = tg.optim.Adam(model.parameters(), args.lr)
    schedule = tg.optim.CosineLR(optimizer, args.steps)
    run = open_run(args, model=model, optimizer=optimizer, schedule=schedule)
    for _ in run.steps(args.steps):
        equation, known = loss_at(model, tg.rand(args.points), tg.rand(args.points))
        loss = equation + args.known * known
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        run.log(loss=loss, equation_loss=equation, known_loss=known)

    found, true = solutions(model)
    error = np.linalg.norm(found - true) / np.linalg.norm(true)
    run.plot("report.png", lambda figure: draw_solutions(figure, found, true))
    return run.finish(f"relative error {error:.2%}")


if __name__ == "__main__":
    run_program(main)
