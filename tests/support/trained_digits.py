"""A training of the digits by `tg.Run`, for tests that stop and resume it.

    python trained_digits.py FOLDER EPOCHS SAVE_EVERY [--resume] [--mnist] [--sleep SECONDS]

trains all that a checkpoint has to keep: dropout, running statistics, a schedule, a scaler, an
average of the weights, metrics of which some are logged at the end of an epoch alone.
"""

import argparse
import sys
import time

import tinygrad_like as tg
from tinygrad_like import nn


def parts(train, batch_size=64, epochs=4):
    """(model, all parts by name): equal whenever it is called."""
    tg.seed(11)
    size = train.arrays[0][0].size
    model = nn.Sequential(
        *(nn.Flatten(), nn.Dense(size, 16), nn.BatchNorm(16), nn.ReLU()),
        *(nn.Dropout(0.3), nn.Dense(16, 10)),
    )
    optimizer = tg.optim.Adam(model.parameters(), lr=1e-2)
    loader = tg.data.DataLoader(train, batch_size, shuffle=True, seed=5)
    return model, {
        "model": model,
        "optimizer": optimizer,
        "loader": loader,
        "schedule": tg.optim.CosineLR(optimizer, epochs * len(loader), warmup_steps=10),
        "scaler": tg.optim.GradScaler(scale=256.0, interval=7),
        "average": tg.optim.Average(model, 0.9),
    }


def train(run, epochs, test, after_step=lambda run: None):
    """Train by a run that has these parts; calls `after_step(run)` at the end of each step."""
    parts = run.checkpoint.parts
    model, optimizer, scaler = parts["model"], parts["optimizer"], parts["scaler"]
    for images, labels in run.epochs(parts["loader"], epochs):
        loss = tg.losses.cross_entropy(model(tg.Tensor(images)), tg.Tensor(labels))
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        parts["schedule"].step()
        parts["average"].update()
        run.log(loss=loss)
        if run.epoch_ended:
            inputs, expected = test.arrays
            with parts["average"]:
                found = tg.training.predict(model, inputs).argmax(axis=1)
            run.log(accuracy=(found == expected).mean(), noise=tg.rand((1,)))
        after_step(run)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("epochs", type=int)
    parser.add_argument("save_every", type=float)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--mnist", action="store_true")
    parser.add_argument("--sleep", type=float, default=0.0)
    args = parser.parse_args()
    data, test = tg.data.mnist() if args.mnist else tg.data.digits()
    _, named = parts(data, 512 if args.mnist else 64, args.epochs)
    options = {"resume": args.resume, "save_every": args.save_every}
    run = tg.Run(args.folder, settings={"epochs": args.epochs}, **options, **named)
    train(run, args.epochs, test, lambda run: time.sleep(args.sleep))
    return run.finish("done")


if __name__ == "__main__":
    sys.exit(main())
