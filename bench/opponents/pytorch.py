"""The steps in PyTorch: eager with AdamW's default or its fused form, and torch.compile."""

import contextlib
import itertools

import torch
import torch.nn.functional as F
from torch import nn

from bench import workloads


class CharLSTM(nn.Module):
    """Logits of the next token by an LSTM: ids (N, T) -> (N, T, vocabulary)."""

    def __init__(self):
        super().__init__()
        width, *hidden = workloads.LSTM_WIDTHS
        self.embedding = nn.Embedding(workloads.VOCABULARY, width)
        self.lstm = nn.LSTM(width, hidden[0], num_layers=len(hidden), batch_first=True)
        self.head = nn.Linear(hidden[-1], workloads.VOCABULARY)

    def forward(self, ids):
        return self.head(self.lstm(self.embedding(ids))[0])


class Reader(nn.Module):
    """log P of each class at each frame by an LSTM: (N, T, width) -> (T, N, classes)."""

    def __init__(self):
        super().__init__()
        width, hidden, classes = workloads.CTC_WIDTHS
        self.lstm = nn.LSTM(width, hidden, batch_first=True)
        self.head = nn.Linear(hidden, classes)

    def forward(self, x):
        return self.head(self.lstm(x)[0]).log_softmax(-1).transpose(0, 1)


def ctc_loss(log_probs, labels):
    """CTC's loss of sequences that all have as many frames and labels."""
    (frames, n, _), (_, count) = log_probs.shape, labels.shape
    return F.ctc_loss(log_probs, labels, [frames] * n, [count] * n)


class Block(nn.Module):
    """A pre-norm block with causal attention; query, key and value come from one product."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        n, t, d = x.shape
        q, k, v = (
            part.view(n, t, self.heads, d // self.heads).transpose(1, 2)
            for part in self.qkv(self.norm1(x)).split(d, dim=2)
        )
        heads = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(heads.transpose(1, 2).reshape(n, t, d))
        return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))


class GPT(nn.Module):
    """Logits of the next token by a GPT with tied embeddings: ids (N, T) -> (N, T, vocabulary)."""

    def __init__(self, sizes):
        super().__init__()
        self.token = nn.Embedding(sizes.vocabulary, sizes.width)
        self.position = nn.Embedding(sizes.context, sizes.width)
        self.blocks = nn.Sequential(*(Block(sizes.width, sizes.heads) for _ in range(sizes.blocks)))
        self.norm = nn.LayerNorm(sizes.width)

    def forward(self, ids):
        x = self.token(ids) + self.position.weight[: ids.shape[1]]
        return F.linear(self.norm(self.blocks(x)), self.token.weight)


def cnn():
    """Images (N, 1, 28, 28) -> logits (N, 10)."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(3136, 128),
        nn.ReLU(),
        nn.Linear(128, 10),
    )


def mlp():
    """Images (N, 784) -> logits (N, 10)."""
    a, b, c, d = workloads.MLP_SIZES
    return nn.Sequential(nn.Linear(a, b), nn.ReLU(), nn.Linear(b, c), nn.ReLU(), nn.Linear(c, d))


def load(model, weights):
    """Give a model the weights of the workload, in PyTorch's names and layouts."""
    state = {}
    for path, array in weights.items():
        is_dense = array.ndim == 2 and not path.startswith(("token", "position", "embedding"))
        path = path.replace("attention.out", "out").replace("feed_forward.", "")
        state[path] = torch.from_numpy(array.T if is_dense else array)
    for prefix in {path.partition(".attention.")[0] for path in state if ".attention." in path}:
        for what in ("weight", "bias"):
            parts = [state.pop(f"{prefix}.attention.{m}.{what}") for m in ("query", "key", "value")]
            state[f"{prefix}.qkv.{what}"] = torch.cat(parts)
    for k in range(2):
        parts = ("weight", "weight_ih"), ("recurrent", "weight_hh"), ("bias", "bias_ih")
        for ours, theirs in parts:
            stacked = state.pop(f"lstm.layers.{k}.forward.{ours}", None)
            if stacked is not None:
                i, f, o, g = stacked.chunk(4)
                state[f"lstm.{theirs}_l{k}"] = torch.cat([i, f, g, o])
                state[f"lstm.bias_hh_l{k}"] = torch.zeros(len(stacked))
    model.load_state_dict(state)


def model_of(workload):
    """The model of a workload, with its starting weights."""
    if workload in workloads.GPTS:
        model = GPT(workloads.GPTS[workload])
    else:
        model = {"mlp": mlp, "cnn": cnn, "lstm": CharLSTM, "ctc": Reader}[workload]()
    load(model, workloads.weights(workload))
    return model


def per_example(name, workload):
    """(a function to time, the norm of each example's gradient): see bench/per_example.py."""
    model = model_of(workload)
    state = {path: p.detach() for path, p in model.named_parameters()}
    x, labels = map(torch.from_numpy, workloads.batches(workload)[0])

    def loss(state, x, labels):
        logits = torch.func.functional_call(model, state, (x[None],))
        return F.cross_entropy(logits.flatten(0, -2), labels[None].flatten())

    each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))
    grads = each(state, x, labels)
    squares = sum((g * g).flatten(1).sum(1) for path, g in grads.items() if "bias_hh" not in path)
    return lambda: each(state, x, labels), [squares.tolist()]


def build(name, workload, batch_size, device):
    """The step of a workload on a device; `name` is torch, torch-fused or compile."""
    model = model_of(workload).to(device)
    for path, parameter in model.named_parameters():
        if "bias_hh" in path:  # the second of two biases that are added; training it would double
            parameter.requires_grad_(False)  # the step of the first
    optimizer = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad],
        lr=workloads.LEARNING_RATE,
        weight_decay=workloads.WEIGHT_DECAY,
        fused=name != "torch" or None,
    )
    batches = itertools.cycle(
        [
            tuple(torch.from_numpy(array).to(device) for array in batch)
            for batch in workloads.batches(workload, batch_size)
        ]
    )

    def loss_of(x, labels):
        if workload == "ctc":
            return ctc_loss(model(x), labels)
        return F.cross_entropy(model(x).flatten(0, -2), labels.flatten())

    if name == "compile":
        loss_of = torch.compile(loss_of)

    in_bfloat16 = workloads.in_bfloat16(workload)
    precision = torch.autocast(device, torch.bfloat16) if in_bfloat16 else contextlib.nullcontext()

    def step():
        x, labels = next(batches)
        with precision:
            loss = loss_of(x, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step
