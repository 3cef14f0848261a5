"""Learn to draw digits: a variational autoencoder.

    python examples/research/vae.py

An encoder gives each image x a distribution q(z | x) of a few hidden numbers z, a decoder gives
each z a distribution p(x | z) of images. Both are trained to make the images likely, by a lower
bound of log p(x):

    E log p(x | z) - KL(q(z | x), p(z)),   z from q(z | x),   p(z) standard normal

The first part wants z to say all about the image, the second one wants it to say little. So what z
says lies dense around 0, and a z drawn from p(z) becomes an image, too. The gradient passes through
the random z by `rsample`: z is the mean plus the deviation times a number that depends on nothing.

Printed is the bound for images that were not seen, in nats. The picture shows images, what they
become on their way through z, and images of random z.

Sources: Kingma and Welling 2014, "Auto-Encoding Variational Bayes"; Rezende et al. 2014.
"""

import numpy as np

import tinygrad_like as tg
from tinygrad_like import nn
from tinygrad_like.distributions import Bernoulli, Independent, Normal, kl_divergence
from tinygrad_like.training import at_least, command_line, open_run, run_program


class VAE(nn.Module):
    """Images (N, pixels) of values from 0 to 1, and hidden vectors (N, size)."""

    def __init__(self, pixels, width, size):
        self.size = size
        self.encoder = nn.Sequential(nn.Dense(pixels, width), nn.ReLU(), nn.Dense(width, 2 * size))
        self.decoder = nn.Sequential(nn.Dense(size, width), nn.ReLU(), nn.Dense(width, pixels))

    def posterior(self, x):
        """q(z | x)."""
        mean, spread = tg.split(self.encoder(x), 2, axis=-1)
        return Independent(Normal(mean, tg.softplus(spread) + 1e-4), 1)

    def prior(self, like):
        """p(z), on the device of a Tensor."""
        return Independent(Normal(tg.zeros(self.size, device=like.device), 1.0), 1)

    def images(self, z):
        """p(x | z): each pixel is white with a probability of its own."""
        return Independent(Bernoulli(logits=self.decoder(z), validate=False), 1)

    def forward(self, x):
        """The bound for each image, (N, pixels) -> (N,), at one random z for each."""
        q = self.posterior(x)
        return self.images(q.rsample()).log_prob(x) - kl_divergence(q, self.prior(x))


def binary(images):
    """Images whose pixels are 1 with the probability that their grey says: (N, pixels)."""
    return Bernoulli(tg.Tensor(images.reshape(len(images), -1))).sample()


def bound(model, images):
    """The average bound for images, as a number."""
    with tg.no_grad():
        parts = [model(images[i : i + 1000]).numpy() for i in range(0, len(images), 1000)]
    return float(np.concatenate(parts).mean())


def draw_images(figure, rows):
    axes = figure.subplots(len(rows), 1)
    for ax, (title, x) in zip(axes, rows.items(), strict=True):
        side = int(x.shape[1] ** 0.5)
        ax.imshow(np.hstack(x.numpy().reshape(-1, side, side)), cmap="gray_r", vmin=0, vmax=1)
        ax.set_title(title, fontsize=9)
        ax.axis("off")


def parse(arguments=None):
    parser = command_line(__doc__, out="runs/vae")
    add = parser.add_argument
    add("--epochs", type=at_least(1), default=10)
    add("--width", type=at_least(1), default=400, help="of the layers between")
    add("--hidden", type=at_least(1), default=20, help="numbers in z")
    add("--batch-size", type=at_least(1), default=128)
    add("--lr", type=float, default=1e-3, help="learning rate")
    add("--digits", action="store_true", help="the small digits that come along, not MNIST")
    return parser.parse_args(arguments)


def main(arguments=None):
    args = parse(arguments)
    tg.set_device(args.device)
    tg.seed(args.seed)
    train, test = tg.data.digits() if args.digits else tg.data.mnist()
    unseen = binary(test.arrays[0])
    model = VAE(unseen.shape[1], args.width, args.hidden)
    optimizer = tg.optim.Adam(model.parameters(), args.lr)
    loader = tg.data.DataLoader(train, args.batch_size, shuffle=True, seed=args.seed)
    run = open_run(args, may_differ=("epochs",), model=model, optimizer=optimizer, loader=loader)
    for images, _ in run.epochs(loader, args.epochs):
        loss = -model(binary(images)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        run.log(loss=loss)
        if run.epoch_ended:
            run.log(unseen_loss=-bound(model, unseen))

    with tg.no_grad():
        some = unseen[:12]
        rows = {
            "images": some,
            "the same, through z": model.images(model.posterior(some).mean).mean,
            "images of random z": model.images(model.prior(some).sample(12)).mean,
        }
    run.plot("report.png", lambda figure: draw_images(figure, rows))
    return run.finish(f"bound {bound(model, unseen):.2f} nats")


if __name__ == "__main__":
    run_program(main)
