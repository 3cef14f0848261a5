"""See the curvature of a loss: the eigenvalues of its Hessian, before and after training.

    python examples/research/spectrum.py

The Hessian of a network with n weights has n x n entries, too many to look at; but its product
with a vector costs no more than a few gradients. `tg.linearize` of the gradient is that product.
Lanczos' method makes of m products a small matrix, whose largest and smallest eigenvalues are
those of the Hessian, and whose other ones, from random starts, show how many lie where.

Printed are the extreme eigenvalues and how many stand apart. The picture shows the density of
all. After training nearly all are close to zero: along most directions the loss does not change.
A few stand apart, about as many as there are classes, and hardly any is negative any more.

Sources: Ghorbani et al. 2019, "An Investigation into Neural Net Optimization via Hessian
Eigenvalue Density"; Golub and Van Loan 2013, "Matrix Computations", section 10.1, for the method.
"""

import numpy as np

import tinygrad_like as tg
from tinygrad_like import nn
from tinygrad_like.training import at_least, command_line, open_run, run_program


def hessian_product(loss, weights):
    """The function that multiplies flat arrays (n,) with the Hessian of loss(weights)."""
    _, push = tg.linearize(tg.grad(loss), weights)
    ends = np.cumsum([w.size for w in weights.values()])

    def product(vector):
        parts = np.split(vector, ends[:-1])
        named = zip(weights.items(), parts, strict=True)
        image = push({name: part.reshape(w.shape) for (name, w), part in named})
        return np.concatenate([image[name].numpy().ravel() for name in weights])

    return product


def lanczos(product, start, steps):
    """Eigenvalues (m,) of the best m x m picture of a symmetric map, and the weight of each.

    The weight is its share in `start`, (n,); m is `steps`, or less where nothing more is found.
    """
    basis = [start / np.linalg.norm(start)]
    diagonal, beside = [], []
    for _ in range(min(steps, len(start))):
        image = product(basis[-1])
        diagonal.append(basis[-1] @ image)
        known = np.stack(basis)
        for _ in range(2):  # against all earlier vectors, twice: once leaves rounding errors
            image = image - (known @ image) @ known
        length = np.linalg.norm(image)
        if length < 1e-10 * np.abs(diagonal).max():
            break
        beside.append(length)
        basis.append(image / length)
    beside = beside[: len(diagonal) - 1]
    matrix = np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1)
    values, vectors = np.linalg.eigh(matrix)
    return values, vectors[0] ** 2


def spectrum(loss, weights, steps, probes):
    """Eigenvalues seen from random starts, and their weights, each (probes * steps,) at most."""
    product = hessian_product(loss, weights)
    size = sum(w.size for w in weights.values())
    starts = tg.randn((probes, size), dtype="float64").numpy()
    found = [lanczos(product, start, steps) for start in starts]
    values, shares = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return values, shares / probes


def density(at, values, shares, width):
    """The density of the eigenvalues at some places: a normal curve around each value."""
    curves = np.exp(-(((at[:, None] - values) / width) ** 2) / 2)
    return curves @ shares / (width * np.sqrt(2 * np.pi))


def draw_density(figure, before, after):
    axes = figure.subplots()
    every = np.concatenate([before[0], after[0]])
    width = 0.005 * np.ptp(every)
    at = np.linspace(every.min() - 5 * width, every.max() + 5 * width, 1000)
    for found, label in ((before, "at the start"), (after, "after training")):
        heights = density(at, *found, width)
        axes.semilogy(at, np.maximum(heights, 1e-4), label=label)
    axes.set(ylim=1e-3, xlabel="eigenvalue of the Hessian", ylabel="density")
    axes.legend(frameon=False)


def parse(arguments=None):
    parser = command_line(__doc__, out="runs/spectrum")
    add = parser.add_argument
    add("--steps", type=at_least(1), default=100, help="of training, on all digits")
    add("--lr", type=float, default=1e-2, help="learning rate")
    add("--hidden", type=at_least(1), default=32, help="width of the hidden layer")
    add("--products", type=at_least(2), default=100, help="with the Hessian, from each start")
    add("--starts", type=at_least(1), default=10, help="random ones")
    return parser.parse_args(arguments)


def main(arguments=None):
    args = parse(arguments)
    tg.set_device(args.device)
    tg.seed(args.seed)
    train, _ = tg.data.digits()
    images, labels = (tg.Tensor(array, device=args.device) for array in train.arrays)
    # In float64, as rounding errors of float32 would hide the small eigenvalues.
    layers = nn.Flatten(), nn.Dense(64, args.hidden), nn.Tanh(), nn.Dense(args.hidden, 10)
    model, images = nn.Sequential(*layers).to("float64"), images.astype("float64")

    def loss_of(weights):
        return tg.losses.cross_entropy(tg.functional_call(model, weights, images), labels)

    before = spectrum(loss_of, model.state_dict(), args.products, args.starts)
    optimizer = tg.optim.Adam(model.parameters(), args.lr)
    run = open_run(args, model=model, optimizer=optimizer)
    for _ in run.steps(args.steps):
        loss = tg.losses.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        run.log(loss=loss)

    after = spectrum(loss_of, model.state_dict(), args.products, args.starts)
    for (values, _), when in ((before, "at the start"), (after, "after training")):
        low, high = values.min(), values.max()
        apart = (values > high / 10).sum() / args.starts
        print(f"{when}: from {low:.4f} to {high:.4f}, {apart:.0f} above a tenth of that")
    run.plot("report.png", lambda figure: draw_density(figure, before, after))
    return run.finish(f"the Hessian has {model.num_parameters()} eigenvalues")


if __name__ == "__main__":
    run_program(main)
