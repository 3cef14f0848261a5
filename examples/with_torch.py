"""Both libraries in one program: arrays on one memory, models made again, gradients through both.

python examples/with_torch.py    # needs torch; some seconds
"""

import sys

import numpy as np

import tinygrad_like as tg
from tinygrad_like import nn


def memory(torch):
    """An array of one library becomes one of the other, on the same memory."""
    ours = tg.zeros(3)
    theirs = torch.from_dlpack(ours)
    theirs += 1
    print("written by torch, read here:", ours)


def a_layer_of_ours_there(torch, images, labels):
    """A model in PyTorch whose last layer is ours, trained by an optimizer of PyTorch's."""
    model = torch.nn.Sequential(
        torch.nn.Flatten(),
        torch.nn.Linear(64, 32),
        tg.interchange.as_torch(nn.Sequential(nn.RMSNorm(32), nn.SiLU(), nn.Dense(32, 10))),
    )
    loss_of = tg.interchange.as_torch(tg.losses.focal)  # which PyTorch does not have
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    x, y = torch.from_numpy(images), torch.from_numpy(labels)
    for _ in range(60):
        loss = loss_of(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    accuracy = (model(x).argmax(1) == y).double().mean()
    print(f"a layer and a loss of ours in PyTorch: {accuracy:.1%} of the training digits")


def a_layer_of_theirs_here(torch, images, labels):
    """PyTorch's layer in a model of ours, trained by an optimizer of ours."""
    features = tg.interchange.from_torch_function(
        torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.GELU())
    )
    model = nn.Sequential(nn.Flatten(), features, nn.Dense(32, 10))
    optimizer = tg.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(60):
        loss = tg.losses.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    accuracy = (model(images).argmax(axis=1).numpy() == labels).mean()
    print(f"a layer of PyTorch's here: {accuracy:.1%} of the training digits")


def a_model_made_again(torch, images):
    """A model of PyTorch's, rebuilt from our layers, which no longer needs PyTorch."""
    theirs = torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 3, padding=1),
        torch.nn.BatchNorm2d(8),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(8 * 64, 10),
    ).eval()
    ours = tg.interchange.from_torch(theirs)
    x = images.reshape(-1, 1, 8, 8)
    with torch.no_grad():
        difference = np.abs(ours(x).detach().numpy() - theirs(torch.from_numpy(x)).numpy()).max()
    print(f"a model made again of our layers: outputs differ by {difference:.1e}")


def main():
    try:
        import torch
    except ImportError:
        sys.exit("this example needs PyTorch: pip install 'tinygrad-like[oracle]'")
    tg.seed(0)
    torch.manual_seed(0)
    images, labels = tg.data.digits()[0].arrays
    memory(torch)
    a_layer_of_ours_there(torch, images, labels)
    a_layer_of_theirs_here(torch, images, labels)
    a_model_made_again(torch, images)


if __name__ == "__main__":
    main()
