"""The training steps in tinygrad_like."""

import contextlib
import itertools

import numpy as np

import tinygrad_like as tg
from bench import workloads
from tinygrad_like import nn


class CharLSTM(nn.Module):
    """Logits of the next token by an LSTM: ids (N, T) -> (N, T, vocabulary)."""

    def __init__(self):
        width, *hidden = workloads.LSTM_WIDTHS
        self.embedding = nn.Embedding(workloads.VOCABULARY, width)
        self.lstm = nn.LSTM(width, hidden[0], num_layers=len(hidden))
        self.head = nn.Dense(hidden[-1], workloads.VOCABULARY)

    def forward(self, ids):
        return self.head(self.lstm(self.embedding(ids))[0])


class Reader(nn.Module):
    """log P of each class at each frame by an LSTM: (N, T, width) -> (T, N, classes)."""

    def __init__(self):
        width, hidden, classes = workloads.CTC_WIDTHS
        self.lstm = nn.LSTM(width, hidden)
        self.head = nn.Dense(hidden, classes)

    def forward(self, x):
        return tg.log_softmax(self.head(self.lstm(x)[0])).swapaxes(0, 1)


def ctc_loss(log_probs, labels):
    """CTC's loss of sequences that all have as many frames and labels."""
    (frames, n, _), (_, count) = log_probs.shape, labels.shape
    return tg.losses.ctc(log_probs, labels, np.full(n, frames), np.full(n, count))


def cnn():
    """Images (N, 1, 28, 28) -> logits (N, 10)."""
    return nn.Sequential(
        nn.Conv2D(1, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2D(2),
        nn.Conv2D(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2D(2),
        nn.Flatten(),
        nn.Dense(3136, 128),
        nn.ReLU(),
        nn.Dense(128, 10),
    )


def mlp():
    """Images (N, 784) -> logits (N, 10)."""
    a, b, c, d = workloads.MLP_SIZES
    return nn.Sequential(nn.Dense(a, b), nn.ReLU(), nn.Dense(b, c), nn.ReLU(), nn.Dense(c, d))


def gpt(sizes):
    """The GPT of these sizes; its GELU is the tanh form, as in the other libraries."""
    return nn.GPT(sizes.vocabulary, sizes.context, sizes.width, sizes.blocks, sizes.heads)


def model_of(workload):
    """The model of a workload, with its starting weights."""
    if workload in workloads.GPTS:
        model = gpt(workloads.GPTS[workload])
    else:
        model = {"mlp": mlp, "cnn": cnn, "lstm": CharLSTM, "ctc": Reader}[workload]()
    weights = workloads.weights(workload)
    for path, parameter in model.named_parameters():
        parameter.data[...] = weights.pop(path)
    assert not weights, f"no parameters of {workload}: {list(weights)}"
    return model


def per_example(name, workload):
    """(a function to time, the norm of each example's gradient): see bench/per_example.py."""
    model = model_of(workload)
    state = model.state_dict()
    x, labels = map(tg.Tensor, workloads.batches(workload)[0])

    def loss(state, x, labels):
        return tg.losses.cross_entropy(tg.functional_call(model, state, x[None]), labels[None])

    each = tg.vmap(tg.grad(loss), in_axes=(None, 0, 0))
    squares = sum((g * g).reshape(len(x), -1).sum(axis=1) for g in each(state, x, labels).values())

    def backward():
        model.zero_grad()
        tg.losses.cross_entropy(model(x), labels).backward()

    step = backward if name == "backward" else lambda: each(state, x, labels)
    return step, [squares.numpy().tolist()]


def build(name, workload, batch_size, device):
    """The step of a workload on a device."""
    model = model_of(workload).to(device)
    optimizer = tg.optim.AdamW(
        model.parameters(),
        lr=workloads.LEARNING_RATE,
        weight_decay=workloads.WEIGHT_DECAY,
    )
    batches = itertools.cycle(
        [
            tuple(tg.Tensor(array, device=device) for array in batch)
            for batch in workloads.batches(workload, batch_size)
        ]
    )

    loss_of = ctc_loss if workload == "ctc" else tg.losses.cross_entropy
    in_bfloat16 = workloads.in_bfloat16(workload)
    precision = tg.autocast("bfloat16") if in_bfloat16 else contextlib.nullcontext()

    def step():
        x, labels = next(batches)
        with precision:
            loss = loss_of(model(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step
