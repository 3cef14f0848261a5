"""A network of endless depth: a layer whose output is the fixed point of a layer.

    python examples/research/equilibrium.py

A deep network applies one layer after another. If all of them are the same layer, z = f(z, x),
then z often settles down. A deep equilibrium model skips the layers and solves for that value:
`tg.implicit.fixed_point` finds the z that f does not change. The gradient follows from the
equation z = f(z, x), by solving one more like it. So no intermediate step has to be stored, and
nobody has to choose a depth.

Printed are the accuracy on digits that were not seen, and how often f was computed for a batch,
with Anderson's method and with plain repetition. The picture shows how far each is from the fixed
point after every step.

Source: Bai et al. 2019, "Deep Equilibrium Models".
"""

import numpy as np
from sklearn.metrics import accuracy_score

import tinygrad_like as tg
from tinygrad_like import nn
from tinygrad_like.training import at_least, command_line, open_run, run_program


class Equilibrium(nn.Module):
    """The z with z = tanh(0.9 z W + x U + b): (N, n_in) -> (N, width).

    `nn.SpectralNorm` keeps the largest singular value of W at 1, up to what five steps of its
    iteration leave. So a step brings any two states closer: there is one fixed point.
    """

    def __init__(self, n_in, width):
        self.input = nn.Dense(n_in, width)
        self.state = nn.Dense(width, width, bias=False)
        nn.parametrize(self.state, "weight", nn.SpectralNorm(5))

    def step(self, x):
        """The function of z of which forward looks for the fixed point."""
        weight, constant = self.state.weight, self.input(x)
        return lambda z: tg.tanh(0.9 * (z @ weight) + constant)

    def forward(self, x):
        return tg.implicit.fixed_point(self.step(x), tg.zeros_like(self.input(x)))


def accuracy(model, test):
    images, labels = test.arrays
    return accuracy_score(labels, tg.training.predict(model, images).argmax(axis=1))


def distances(layer, x, solver):
    """How far the states are from the fixed point, relative to it, at each computation of f."""
    step, start = layer.step(x), tg.zeros_like(layer.input(x))
    seen = []

    def watched(z):
        seen.append(z.numpy())
        return step(z)

    tg.implicit.fixed_point(watched, start, solver=solver)
    end = seen[-1]
    return [np.linalg.norm(z - end) / np.linalg.norm(end) for z in seen[:-1]]


def draw_distances(figure, found):
    axes = figure.subplots()
    for solver, values in found.items():
        axes.semilogy(values, "o-", markersize=4, label=solver)
    axes.set(xlabel="computations of f", ylabel="distance from the fixed point, relative to it")
    axes.legend(frameon=False)


def parse(arguments=None):
    parser = command_line(__doc__, out="runs/equilibrium")
    add = parser.add_argument
    add("--epochs", type=at_least(1), default=15)
    add("--width", type=at_least(1), default=64, help="of the state")
    add("--batch-size", type=at_least(1), default=64)
    add("--lr", type=float, default=3e-3, help="learning rate")
    return parser.parse_args(arguments)


def main(arguments=None):
    args = parse(arguments)
    tg.set_device(args.device)
    tg.seed(args.seed)
    train, test = tg.data.digits()
    layer = Equilibrium(64, args.width)
    model = nn.Sequential(nn.Flatten(), layer, nn.Dense(args.width, 10))
    optimizer = tg.optim.Adam(model.parameters(), args.lr)
    loader = tg.data.DataLoader(train, args.batch_size, shuffle=True, seed=args.seed)
    run = open_run(args, may_differ=("epochs",), model=model, optimizer=optimizer, loader=loader)
    for images, labels in run.epochs(loader, args.epochs):
        loss = tg.losses.cross_entropy(model(tg.Tensor(images, device=args.device)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        run.log(loss=loss)
        if run.epoch_ended:
            run.log(accuracy=accuracy(model, test))

    model.eval()
    with tg.no_grad():
        x = tg.Tensor(test.arrays[0].reshape(-1, 64), device=args.device)
        found = {solver: distances(layer, x, solver) for solver in ("anderson", "iterate")}
    run.plot("report.png", lambda figure: draw_distances(figure, found))
    steps = " and ".join(f"{len(values)} by {solver!r}" for solver, values in found.items())
    return run.finish(f"accuracy {accuracy(model, test):.1%}, computations of f: {steps}")


if __name__ == "__main__":
    run_program(main)
