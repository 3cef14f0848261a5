"""A small model and its training, for the tests of profiles."""

import numpy as np

import tinygrad_like as tg
from tinygrad_like import losses, nn, optim

RNG = np.random.default_rng(0)
X = RNG.standard_normal((8, 6)).astype(np.float32)
Y = RNG.integers(0, 3, 8)


class Net(nn.Module):
    def __init__(self):
        tg.seed(1)
        self.body = [nn.Dense(6, 9), nn.Tanh(), nn.Dropout(0.25)]
        self.head = nn.Dense(9, 3)

    def forward(self, x, run=None):
        for layer in self.body:
            x = layer(x) if run is None else run(layer, x)
        return self.head(x)


def training(model, steps=2, run=None):
    """[losses and parameters] of some steps."""
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    found = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = losses.cross_entropy(model(tg.Tensor(X), run), Y)
        loss.backward()
        optimizer.step()
        found.append(loss.numpy())
    return [*found, *(p.numpy().copy() for p in model.parameters())]
