"""Train on data that the model must not give away: differential privacy.

    python examples/research/private.py

Ordinary training may learn a single example by heart. DP-SGD bounds what one example can change:
the gradient of each is clipped to a norm of at most `--clip`, the clipped gradients are summed,
and normal noise is added in which any one of them is lost. `tg.vmap(tg.grad(loss))` gives the
gradients of all examples of a batch at once.

From the trained model one can then hardly tell whether an example was in the training: that it
was changes the odds of anything by a factor of exp(epsilon) at most, but for a probability of
1e-5. Printed are the accuracy on digits that were not seen, without privacy and with it, and
epsilon. Privacy is cheaper in a crowd: among 1,437 digits an epsilon of some units is the price
of a useful model. The picture shows how many examples are clipped.

Sources: Abadi et al. 2016, "Deep Learning with Differential Privacy", algorithm 1; Mironov et al.
2019, "Renyi Differential Privacy of the Sampled Gaussian Mechanism", section 3.3, for epsilon.
"""

import math

import numpy as np
from sklearn.metrics import accuracy_score

import tinygrad_like as tg
from tinygrad_like import nn
from tinygrad_like.training import at_least, command_line, open_run, run_program

DELTA = 1e-5


def network():
    return nn.Sequential(nn.Flatten(), nn.Dense(64, 64), nn.ReLU(), nn.Dense(64, 10))


def clipped_gradients(model, weights, images, labels, most):
    """The gradient of each of N examples, {name: (N, *shape)}, clipped, and the norms before."""

    def loss(weights, image, label):
        logits = tg.functional_call(model, weights, image[None])
        return tg.losses.cross_entropy(logits, label[None])

    def of_one(image, label):
        gradient = tg.grad(loss)(weights, image, label)
        norm = sum((g**2).sum() for g in gradient.values()) ** 0.5
        scale = most / tg.maximum(norm, most)
        return {name: g * scale for name, g in gradient.items()}, norm

    return tg.vmap(of_one)(images, labels)


def epsilon(share, noise, steps):
    """The epsilon of steps that draw each example with probability `share`.

    `noise` is its deviation in units of the clipping norm. For each order a, the formula bounds a
    distance (Renyi's divergence) between two trainings that differ in one example. Each order gives
    an epsilon that holds; the result is the least.
    """
    found = []
    for a in range(2, 128):
        terms = [
            math.log(math.comb(a, k))
            + (a - k) * math.log1p(-share)
            + k * math.log(share)
            + (k * k - k) / (2 * noise**2)
            for k in range(a + 1)
        ]
        divergence = np.logaddexp.reduce(terms) / (a - 1)
        found.append(steps * divergence + math.log(1 / DELTA) / (a - 1))
    return min(found)


def accuracy(model, test):
    images, labels = test.arrays
    return accuracy_score(labels, tg.training.predict(model, images).argmax(axis=1))


def draw_norms(figure, norms, most):
    axes = figure.subplots()
    axes.hist(norms, 40, color="tab:blue")
    axes.axvline(most, color="tab:red", label="the bound")
    axes.set(xlabel="norm of an example's gradient, after the training", ylabel="examples")
    axes.legend(frameon=False)


def parse(arguments=None):
    parser = command_line(__doc__, out="runs/private")
    add = parser.add_argument
    add("--steps", type=at_least(1), default=300)
    add("--batch", type=at_least(16), default=256, help="examples in a step, on average")
    add("--lr", type=float, default=0.5, help="learning rate")
    add("--clip", type=at_least(1e-6, float), default=1.0, help="most that an example may add")
    add("--noise", type=at_least(0.1, float), default=3.0, help="deviation, in units of --clip")
    return parser.parse_args(arguments)


def main(arguments=None):
    args = parse(arguments)
    tg.set_device(args.device)
    tg.seed(args.seed)
    train, test = tg.data.digits()
    images, labels = (tg.Tensor(array, device=args.device) for array in train.arrays)
    share = min(args.batch / len(train), 0.99)
    private, plain = network(), network()
    optimizer = tg.optim.SGD([*private.parameters(), *plain.parameters()], args.lr)
    run = open_run(args, model=private, plain=plain, optimizer=optimizer)
    for step in run.steps(args.steps):
        # Each example is drawn by itself: epsilon takes advantage of nobody knowing who is there.
        drawn = tg.rand(len(train)).numpy() < share
        x, y = images[drawn], labels[drawn]

        loss = tg.losses.cross_entropy(plain(x), y)
        optimizer.zero_grad()
        loss.backward()
        gradients, _ = clipped_gradients(private, private.state_dict(), x, y, args.clip)
        for name, weight in private.named_parameters():
            noise = args.noise * args.clip * tg.randn(weight.shape)
            weight.grad = (gradients[name].sum(axis=0) + noise) / (share * len(train))
        optimizer.step()
        run.log(plain_loss=loss)
        if step % 50 == 0 or step == args.steps:
            run.log(private_accuracy=accuracy(private, test), plain_accuracy=accuracy(plain, test))

    _, norms = clipped_gradients(private, private.state_dict(), images, labels, args.clip)
    run.plot("report.png", lambda figure: draw_norms(figure, norms.numpy(), args.clip))
    names = "plain_accuracy", "private_accuracy"
    without, with_privacy = (run.history[name].values[-1] for name in names)
    spent = epsilon(share, args.noise, args.steps)
    return run.finish(f"accuracy {without:.1%}, with epsilon {spent:.2f} {with_privacy:.1%}")


if __name__ == "__main__":
    run_program(main)
