"""Whole trainings of the examples, ours and the same in PyTorch: final losses and wall time.

python -m bench train [gpt] [lstm] [cnn] [--iters N] [--seed N] [--save]

gpt     examples/char_lm.py: 4 blocks, width 128, 4 heads, context 64, batch 12, 2,000 steps
lstm    examples/char_lm.py --model lstm: 2 x 256, context 64, batch 32, 2,000 steps
cnn     examples/mnist.py --model cnn: 2 epochs at batch 64

Ours trains as the example does. PyTorch's starts with the same weights, and gets the same batches
in the same order, the same decay groups, learning rates and clipping. Each runs in its own process,
one after the other, with its own defaults. The losses of the first steps must agree; later ones
part slowly, since rounding differs. The time is that of all steps, with their data.
"""

import argparse
import datetime
import importlib.metadata
import itertools
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

import tinygrad_like as tg
from tinygrad_like import nn
from tinygrad_like.interchange import to_torch

LANGUAGE = "--context 64 --iters 2000 --warmup 100 --weight-decay 0.1 --clip 1"
TASKS = {  # the options that fix a training, and what is measured at its end
    "gpt": (f"--layers 4 --width 128 --heads 4 --batch 12 --lr 1e-3 {LANGUAGE}", "validation loss"),
    "lstm": (f"--layers 2 --width 256 --batch 32 --lr 2e-3 {LANGUAGE}", "validation loss"),
    "cnn": ("--epochs 2 --batch 64 --lr 1e-3", "test accuracy"),
}
# First steps, whose losses may differ by this much at most. Rounding grows: of the cnn, PyTorch's
# own two convolutions (oneDNN and native) are 1e-5 apart after 30 steps and 2e-4 after 50.
COMPARED, TOLERANCE = 30, 1e-4
RESULTS = Path(__file__).parent / "results" / "train.json"


class Side(NamedTuple):
    """One of the two trainings of a task."""

    model: Any
    steps: int
    step: Callable[[], float]  # trains on the next batch; returns its loss
    evaluate: Callable[[], float]


def settings(task, options=()):
    """The settings of a training: those of its task, and further options."""
    parser = argparse.ArgumentParser()
    for name in ("layers", "width", "heads", "batch", "context", "iters", "warmup", "epochs"):
        parser.add_argument(f"--{name}", type=int)
    for name in ("lr", "weight-decay", "clip"):
        parser.add_argument(f"--{name}", type=float)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args([*TASKS[task][0].split(), *options])


def our_side(task, options, start):
    """Our training; writes to the file `start` what PyTorch's begins with."""
    args = settings(task, options)
    tg.seed(args.seed)
    return our_classifier(args, start) if task == "cnn" else our_language_model(task, args, start)


def our_classifier(args, start):
    """The training of examples/mnist.py --model cnn."""
    train, test = normalised_mnist()
    model = nn.Sequential(
        *(nn.Conv2D(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2D(2)),
        *(nn.Conv2D(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2D(2)),
        *(nn.Flatten(), nn.Dense(3136, 128), nn.ReLU(), nn.Dense(128, 10)),
    )
    optimizer = tg.optim.Adam(model.parameters(), args.lr)
    loader = tg.data.DataLoader(train, args.batch, shuffle=True, seed=args.seed)
    batches = endless(loader)
    tg.io.save(start, {"weights": to_torch(model)})

    def step():
        images, labels = map(tg.Tensor, next(batches))
        loss = tg.losses.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    def evaluate():
        images, labels = test.arrays
        return float((tg.training.predict(model, images, 500).argmax(axis=1) == labels).mean())

    return Side(model, args.epochs * len(loader), step, evaluate)


def our_language_model(task, args, start):
    """The training of examples/char_lm.py."""
    text = tg.data.tiny_shakespeare()
    vocabulary = tg.data.Vocabulary(text)
    ids = vocabulary.encode(text)
    train, held_out = np.split(ids, [int(0.9 * len(ids))])
    if task == "gpt":
        model = nn.GPT(len(vocabulary), args.context, args.width, args.layers, args.heads)
    else:
        model = nn.RecurrentLM("lstm", len(vocabulary), args.width, args.layers)
    groups = tg.optim.decay_groups(model, args.weight_decay)
    optimizer = tg.optim.AdamW(groups, args.lr, betas=(0.9, 0.99))
    schedule = tg.optim.CosineLR(
        optimizer, args.iters, min_lr=args.lr / 10, warmup_steps=args.warmup
    )
    batches = tg.data.TextBatches(train, args.context, args.batch, seed=args.seed)
    state = {"vocabulary": len(vocabulary), "ids": train, "held_out": held_out}
    tg.io.save(start, {"weights": to_torch(model), **state})

    def loss_of(x, y, reduction="mean"):
        return tg.losses.cross_entropy(model(tg.Tensor(x)), tg.Tensor(y), reduction=reduction)

    def step():
        loss = loss_of(*next(batches))
        optimizer.zero_grad()
        loss.backward()
        tg.optim.clip_grad_norm(model.parameters(), args.clip)
        optimizer.step()
        schedule.step()
        return loss.item()

    def evaluate():
        with tg.no_grad():
            return mean_loss(loss_of, held_out, args.context)

    return Side(model, args.iters, step, evaluate)


def normalised_mnist():
    """MNIST with mean 0 and deviation 1."""
    train, test = tg.data.mnist()
    mean, std = train.arrays[0].mean(), train.arrays[0].std()
    scaled = []
    for part in (train, test):
        images, labels = part.arrays
        scaled.append(tg.data.Dataset((images - mean) / std, labels))
    return scaled


def mean_loss(loss_of, ids, context):
    """The mean of `loss_of(inputs, labels, "sum")` over a text, cut into pieces of the context."""
    pieces, size = (len(ids) - 1) // context, max(1, 8192 // context)
    x, y = (ids[k : k + pieces * context].reshape(pieces, context) for k in (0, 1))
    parts = [slice(k, k + size) for k in range(0, pieces, size)]
    return sum(loss_of(x[part], y[part], "sum").item() for part in parts) / x.size


def endless(loader):
    """The batches of one epoch after the other."""
    return itertools.chain.from_iterable(itertools.repeat(loader))


# PyTorch's


def torch_side(task, options, start):
    """The same in PyTorch, from the weights in the file `start`."""
    import torch

    args = settings(task, options)
    state = tg.io.load(start)
    if task == "cnn":
        model = torch_cnn()
    else:
        model = {"gpt": torch_gpt, "lstm": torch_lstm}[task](args, state["vocabulary"])
    model.load_state_dict({k: torch.from_numpy(v) for k, v in state["weights"].items()})
    if task == "cnn":
        return torch_classifier(args, model)
    return torch_language_model(args, model, state["ids"], state["held_out"])


def torch_gpt(args, vocabulary):
    """The GPT as usually written in PyTorch, its parameters under the names of to_torch."""
    import torch
    from torch import nn
    from torch.nn import functional as f

    width, heads = args.width, args.heads

    class Attention(nn.MultiheadAttention):
        def forward(self, x):
            n, t, _ = x.shape
            parts = f.linear(x, self.in_proj_weight, self.in_proj_bias).split(width, dim=2)
            q, k, v = (part.view(n, t, heads, width // heads).transpose(1, 2) for part in parts)
            y = f.scaled_dot_product_attention(q, k, v, is_causal=True)
            return self.out_proj(y.transpose(1, 2).reshape(n, t, width))

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.self_attn = Attention(width, heads)
            self.linear1, self.linear2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

        def forward(self, x):
            x = x + self.self_attn(self.norm1(x))
            return x + self.linear2(f.gelu(self.linear1(self.norm2(x)), approximate="tanh"))

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.token = nn.Embedding(vocabulary, width)
            self.position = nn.Embedding(args.context, width)
            self.blocks = nn.ModuleList(Block() for _ in range(args.layers))
            self.norm = nn.LayerNorm(width)

        def forward(self, ids):
            x = self.token(ids) + self.position(torch.arange(ids.shape[1]))
            for block in self.blocks:
                x = block(x)
            return f.linear(self.norm(x), self.token.weight)

    return Model()


def torch_lstm(args, vocabulary):
    """Embedding, LSTM, Linear; of the LSTM's two biases the second stays 0, as ours has one."""
    from torch import nn

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            half = args.width // 2
            self.embedding = nn.Embedding(vocabulary, half)
            self.rnn = nn.LSTM(half, args.width, args.layers, batch_first=True)
            self.head = nn.Linear(args.width, vocabulary)
            for name, p in self.rnn.named_parameters():
                p.requires_grad_("bias_hh" not in name)

        def forward(self, ids):
            return self.head(self.rnn(self.embedding(ids))[0])

    return Model()


def torch_cnn():
    """The layers of the example's CNN."""
    from torch import nn

    return nn.Sequential(
        *(nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(3136, 128), nn.ReLU(), nn.Linear(128, 10)),
    )


def torch_language_model(args, model, ids, held_out):
    """The training of examples/char_lm.py."""
    import torch

    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": args.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, args.lr, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: cosine(step, args))
    batches = tg.data.TextBatches(ids, args.context, args.batch, seed=args.seed)

    def loss_of(x, y, reduction="mean"):
        logits, labels = model(torch.from_numpy(x)), torch.from_numpy(y)
        return torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), labels.flatten(), reduction=reduction
        )

    def step():
        loss = loss_of(*next(batches))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, args.clip)
        optimizer.step()
        schedule.step()
        return loss.item()

    @torch.no_grad()
    def evaluate():
        return mean_loss(loss_of, held_out, args.context)

    return Side(model, args.iters, step, evaluate)


def cosine(step, args):
    """The factor of the learning rate: a warm-up, then half a cosine down to a tenth."""
    if step < args.warmup:
        return (step + 1) / args.warmup
    progress = min(1, (step - args.warmup) / (args.iters - args.warmup))
    return 0.1 + 0.9 * (1 + math.cos(math.pi * progress)) / 2


def torch_classifier(args, model):
    """The training of examples/mnist.py."""
    import torch

    train, test = normalised_mnist()
    loader = tg.data.DataLoader(train, args.batch, shuffle=True, seed=args.seed)
    batches = endless(loader)
    optimizer = torch.optim.Adam(model.parameters(), args.lr)

    def step():
        images, labels = map(torch.from_numpy, next(batches))
        loss = torch.nn.functional.cross_entropy(model(images), labels.long())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    @torch.no_grad()
    def evaluate():
        right = [
            (model(torch.from_numpy(images)).argmax(1).numpy() == labels).mean() * len(labels)
            for images, labels in tg.data.DataLoader(test, 500)
        ]
        return float(sum(right) / len(test))

    return Side(model, args.epochs * len(loader), step, evaluate)


# The comparison

SIDES = {"ours": our_side, "torch": torch_side}


def work(name, task, options, start, iters):
    """A worker: train, and print the report as JSON."""
    side = SIDES[name](task, options, start)
    steps = side.steps if iters is None else min(iters, side.steps)
    begin = time.perf_counter()
    losses = [side.step() for _ in tqdm(range(steps), f"{task} {name}", unit="step", disable=None)]
    end = time.perf_counter()
    result = side.evaluate()
    report = {
        "result": result,
        "seconds": end - begin,
        "seconds of evaluation": time.perf_counter() - end,
        "losses": losses,
    }
    print(json.dumps(report))


def run(name, task, start, args):
    """Train in a worker process; returns its report."""
    command = [sys.executable, "-m", "bench.train", task, "--worker", name, str(start)]
    command += [f"--seed={args.seed}", *([f"--iters={args.iters}"] if args.iters else [])]
    found = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(found.stdout.splitlines()[-1])


def compare(task, args):
    """Both trainings of a task; raises RuntimeError if they do not begin alike."""
    with tempfile.TemporaryDirectory() as folder:
        start = Path(folder) / "start.safetensors"
        ours, torch = (run(name, task, start, args) for name in SIDES)
    losses = np.array([ours.pop("losses"), torch.pop("losses")])
    apart = np.abs(losses[0] - losses[1])[:COMPARED]
    if not apart.max() <= TOLERANCE:
        at = int(np.argmin(apart <= TOLERANCE))
        raise RuntimeError(
            f"{task}: at step {at + 1} our loss is {losses[0, at]}, PyTorch's {losses[1, at]}: "
            "this is not the same training, and nothing is compared"
        )
    return {
        "measured": TASKS[task][1],
        "options": TASKS[task][0],
        "seed": args.seed,
        "steps": losses.shape[1],
        "ours": ours,
        "torch": torch,
        "difference": ours["result"] - torch["result"],
        "ratio of seconds": ours["seconds"] / torch["seconds"],
        "steps compared": len(apart),
        "largest difference of their losses": float(apart.max()),
    }


def show(task, row):
    """Print both results of a task, and what they differ by."""
    for name in SIDES:
        report = row[name]
        print(
            f"{task:<5} {name:<6} {row['steps']:>5} steps in {report['seconds']:7.1f} s, "
            f"{row['measured']} {report['result']:.4f}"
        )
    print(
        f"{task:<5} ours - torch {row['difference']:+.4f}, ours / torch "
        f"{row['ratio of seconds']:.2f} of the time; losses of the first {row['steps compared']} "
        f"steps differ by at most {row['largest difference of their losses']:.1e}",
        flush=True,
    )


def save(rows):
    """Add rows to the file of results; they replace older ones of the same tasks."""
    older = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    versions = {name: importlib.metadata.version(name) for name in ("numpy", "torch")}
    machine = {"cores": os.cpu_count(), "date": str(datetime.date.today()), **versions}
    RESULTS.parent.mkdir(exist_ok=True)
    new = {task: {"machine": machine, **row} for task, row in rows.items()}
    RESULTS.write_text(json.dumps(older | new, indent=2) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tasks", nargs="*", metavar="TASK", help=f"of {', '.join(TASKS)}; all")
    parser.add_argument("--iters", type=int, help="stop after this many steps")
    parser.add_argument("--seed", type=int, default=0, help="of the weights and the batches")
    parser.add_argument("--save", action="store_true", help=f"write {RESULTS.name}")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    unknown = sorted({*args.tasks} - {*TASKS})
    if unknown or (args.iters is not None and args.iters < 1):
        parser.error(f"expected tasks of {', '.join(TASKS)}, and at least 1 for --iters")
    if args.worker:
        name, start = args.worker
        work(name, args.tasks[0], [f"--seed={args.seed}"], start, args.iters)
        return
    rows = {}
    for task in args.tasks or TASKS:
        rows[task] = compare(task, args)
        show(task, rows[task])
    if args.save:
        save(rows)


if __name__ == "__main__":
    main()
