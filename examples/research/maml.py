"""Learn to learn: a network that fits a new sine curve from ten points, in five steps.

    python examples/research/maml.py

Every task is a curve a sin(x - b), known at ten points. Model-agnostic meta-learning (MAML) looks
for weights from which a few gradient steps on these points lead to the whole curve. So the loss
of a task is taken after its steps, and its gradient passes through them: through the gradients
that they consist of. `tg.vmap` runs all tasks of a batch at once, each with weights of its own.

Printed are mean squared errors on new curves, after five steps: from the meta-learned weights,
and from those of an ordinary network that was trained on the same points. That one has learned
the mean of all curves, and it is far from each. The picture shows a new curve, before and after.

Source: Finn et al. 2017, "Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks".
"""

import numpy as np

import tinygrad_like as tg
from tinygrad_like import nn
from tinygrad_like.training import at_least, command_line, open_run, run_program

POINTS = 10  # of a curve, to adapt to
ADAPTATION = 5  # steps of gradient descent on these points


def network():
    layers = nn.Dense(1, 40), nn.Tanh(), nn.Dense(40, 40), nn.Tanh(), nn.Dense(40, 1)
    return nn.Sequential(*layers)


def curves(count, points):
    """x and y of random curves, each (count, points, 1)."""
    amplitude = 0.1 + 4.9 * tg.rand((count, 1, 1))
    phase = np.pi * tg.rand((count, 1, 1))
    x = 10 * tg.rand((count, points, 1)) - 5
    return x, amplitude * tg.sin(x - phase)


def error(model, weights, x, y):
    """The mean squared error of the model with these weights on points of one curve."""
    return ((tg.functional_call(model, weights, x) - y) ** 2).mean()


def adapted(model, weights, x, y, rate):
    """The weights after some steps of gradient descent on points of one curve."""
    for _ in range(ADAPTATION):
        slope = tg.grad(lambda weights: error(model, weights, x, y))(weights)
        weights = {name: w - rate * slope[name] for name, w in weights.items()}
    return weights


def error_after_steps(model, weights, x, y, rate):
    """The mean over many curves: adapted to their first points, tested on the others."""

    def of_one(x, y):
        own = adapted(model, weights, x[:POINTS], y[:POINTS], rate)
        return error(model, own, x[POINTS:], y[POINTS:])

    return tg.vmap(of_one)(x, y).mean()


def draw_curve(figure, model, plain, rate):
    """A new curve, its ten points, and what the networks make of them."""
    x = np.linspace(-5, 5, 200, dtype=np.float32)[:, None]
    y = 3 * np.sin(x - 2)
    seen = slice(10, None, 20)
    axes = figure.subplots()
    axes.plot(x, y, color="0.8", linewidth=6, label="a new curve")
    axes.plot(x, tg.training.predict(model, x), "tab:blue", linestyle=":", label="MAML, before")
    for network, name, color in ((model, "MAML", "tab:blue"), (plain, "ordinary", "tab:red")):
        weights = adapted(network, network.state_dict(), x[seen], y[seen], rate)
        fit = tg.functional_call(network, weights, x).numpy()
        axes.plot(x, fit, color, label=f"{name}, after {ADAPTATION} steps")
    axes.plot(x[seen], y[seen], "ko", label=f"its {POINTS} points")
    axes.legend(frameon=False, fontsize=8)


def parse(arguments=None):
    parser = command_line(__doc__, out="runs/maml")
    add = parser.add_argument
    add("--steps", type=at_least(1), default=1500)
    add("--tasks", type=at_least(1), default=25, help="curves in a step")
    add("--lr", type=float, default=2e-3, help="learning rate of the weights to start from")
    add("--rate", type=float, default=0.03, help="learning rate of the adaptation to a curve")
    return parser.parse_args(arguments)


def main(arguments=None):
    args = parse(arguments)
    tg.set_device(args.device)
    tg.seed(args.seed)
    model, plain = network(), network()
    optimizer = tg.optim.Adam([*model.parameters(), *plain.parameters()], args.lr)
    run = open_run(args, monitor="loss", model=model, plain=plain, optimizer=optimizer)
    for _ in run.steps(args.steps):
        x, y = curves(args.tasks, 2 * POINTS)
        loss = error_after_steps(model, dict(model.named_parameters()), x, y, args.rate)
        plain_loss = ((plain(x) - y) ** 2).mean()
        optimizer.zero_grad()
        (loss + plain_loss).backward()
        optimizer.step()
        run.log(loss=loss, plain_loss=plain_loss)

    x, y = curves(500, POINTS + 100)  # the last 100 points tell the error
    errors = [error_after_steps(m, m.state_dict(), x, y, args.rate).item() for m in (model, plain)]
    run.plot("report.png", lambda figure: draw_curve(figure, model, plain, args.rate))
    return run.finish(
        f"error on new curves after {ADAPTATION} steps: {errors[0]:.3f}, "
        f"without meta-learning {errors[1]:.3f}"
    )


if __name__ == "__main__":
    run_program(main)
