"""Learn a law of motion: a neural ordinary differential equation, trained by its adjoint.

    python examples/research/neural_ode.py

A state moves as dz/dt = f(z), and f is a network. Runge and Kutta's method follows it, and the
loss is how far it comes from where a real one was seen. Going back through the solver would keep
all that it computed. The adjoint method keeps the states at the times that were looked at, and no
other: the gradient of the loss with respect to z obeys an equation of its own, which is solved
backwards in time, beside z and the gradient of the weights. `tg.custom_gradient` puts this in the
place of the solver's own gradient.

What is learned is how a pendulum comes to rest: its angle and its speed, a spiral, measured with
noise. The network sees pieces of half a second. Printed is the mean distance of its path from the
true one, all the way from the start. The picture shows both.

Source: Chen et al. 2018, "Neural Ordinary Differential Equations", section 2 and appendix B.
"""

from itertools import pairwise

import numpy as np

import tinygrad_like as tg
from tinygrad_like import nn
from tinygrad_like.training import at_least, command_line, open_run, run_program

START = 2.5, 0.0  # angle and speed
SECONDS = 15.0
PIECE = 10  # times in an example


def step(slope, state, h):
    """One step of Runge and Kutta's method of order 4; state and slope(state) are lists."""

    def moved(slopes, h):
        return [x + h * dx for x, dx in zip(state, slopes, strict=True)]

    first = slope(state)
    second = slope(moved(first, h / 2))
    third = slope(moved(second, h / 2))
    fourth = slope(moved(third, h))
    slopes = zip(first, second, third, fourth, strict=True)
    return moved([(a + 2 * b + 2 * c + d) / 6 for a, b, c, d in slopes], h)


def path(field, weights, z, times, steps=1):
    """z at all times, (T, *z.shape), from z at the first one; `steps` from each to the next."""
    found = [z]
    for start, end in pairwise(times):
        for _ in range(steps):
            (z,) = step(lambda state: [field(weights, *state)], [z], (end - start) / steps)
        found.append(z)
    return tg.stack(found)


def path_with_adjoint(field, weights, z, times, steps=1):
    """The same, differentiable with respect to weights and z in the memory of the path alone."""

    @tg.custom_gradient
    def solved(weights, z):
        with tg.no_grad():
            points = path(field, weights, z, times, steps)

        def slope(state):
            z, a, *_ = state
            dz, pull_back = tg.vjp(field, weights, z)
            by_weights, by_z = pull_back(a)
            return [dz, -by_z, *(-by_weights[name] for name in weights)]

        def pull_back(g):
            a, totals = g[-1], [tg.zeros_like(w) for w in weights.values()]
            for k in range(len(times) - 1, 0, -1):
                state = [points[k], a, *totals]
                for _ in range(steps):
                    state = step(slope, state, (times[k - 1] - times[k]) / steps)
                _, a, *totals = state
                a = a + g[k - 1]
            return dict(zip(weights, totals, strict=True)), a

        return points, pull_back

    return solved(weights, z)


def pendulum(_, z):
    """dz/dt of a pendulum with friction, for (N, 2): angles and speeds."""
    angle, speed = z[:, 0], z[:, 1]
    return tg.stack([speed, -4 * tg.sin(angle) - 0.2 * speed], axis=1)


class Law(nn.Module):
    """f(z) = tanh(z W1 + b1) W2 + b2: (N, 2) -> (N, 2)."""

    def __init__(self):
        self.inner, self.outer = nn.Dense(2, 50), nn.Dense(50, 2)

    def forward(self, z):
        return self.outer(tg.tanh(self.inner(z)))


def draw_paths(figure, true, found):
    axes = figure.subplots()
    axes.plot(*true.T, color="0.8", linewidth=5, label="the true path")
    axes.plot(*found.T, label="the learned path")
    axes.set(xlabel="angle", ylabel="speed")
    axes.legend(frameon=False)


def parse(arguments=None):
    parser = command_line(__doc__, out="runs/neural_ode")
    add = parser.add_argument
    add("--steps", type=at_least(1), default=1000)
    add("--pieces", type=at_least(1), default=20, help="of the path, in a step")
    add("--points", type=at_least(PIECE), default=300, help="of the whole path")
    add("--noise", type=at_least(0, float), default=0.02, help="deviation of what is measured")
    add("--lr", type=float, default=2e-2, help="learning rate")
    return parser.parse_args(arguments)


def main(arguments=None):
    args = parse(arguments)
    tg.set_device(args.device)
    tg.seed(args.seed)
    times = np.linspace(0.0, SECONDS, args.points)
    start = tg.Tensor([START])
    true = path(pendulum, None, start, times)[:, 0]
    seen = true + args.noise * tg.randn(true.shape)
    model = Law()
    optimizer = tg.optim.Adam(model.parameters(), args.lr)
    schedule = tg.optim.CosineLR(optimizer, args.steps)
    run = open_run(args, model=model, optimizer=optimizer, schedule=schedule)

    def field(weights, z):
        return tg.functional_call(model, weights, z)

    for _ in run.steps(args.steps):
        first = tg.randint(0, args.points - PIECE + 1, args.pieces).numpy()
        pieces = seen[first + np.arange(PIECE)[:, None]]  # (PIECE, pieces, 2)
        weights = dict(model.named_parameters())
        found = path_with_adjoint(field, weights, pieces[0], times[:PIECE])
        loss = abs(found - pieces).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        run.log(loss=loss)

    learned = path(field, model.state_dict(), start, times)[:, 0]
    distance = tg.norm(learned - true, axis=1).mean().item()
    run.plot("report.png", lambda figure: draw_paths(figure, true.numpy(), learned.numpy()))
    return run.finish(f"mean distance from the true path {distance:.3f}")


if __name__ == "__main__":
    run_program(main)
