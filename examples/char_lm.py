"""Train a language model on the characters of a text, and let it write.

    python examples/char_lm.py                        # a small GPT on tiny Shakespeare
    python examples/char_lm.py --model lstm           # or gru
    python examples/char_lm.py --text my.txt          # any text
    python examples/char_lm.py --autocast float16     # products in half precision; or bfloat16
    python examples/char_lm.py --sample "ROMEO:"      # from the checkpoint in --out
    python examples/char_lm.py --resume               # go on after Ctrl-C, or worse

Without tiny Shakespeare and without a network it trains on the documentation of Python itself.
Everything it writes lies in `--out`: checkpoint.safetensors and report.png.
"""

import argparse
import math
import signal
import sys
import time
import zlib
from pathlib import Path

import numpy as np
from tqdm import tqdm

import tinygrad_like as tg
from tinygrad_like import nn

SIZES = ("model", "layers", "width", "heads", "context", "dropout")  # all that a model is made by


class RecurrentLM(nn.Module):
    """logits = Dense(LSTM or GRU(Embedding(ids))): ids (N, T) -> (N, T, vocabulary)."""

    def __init__(self, kind, vocabulary, width, layers, dropout):
        layer = {"lstm": nn.LSTM, "gru": nn.GRU}[kind]
        self.embedding = nn.Embedding(vocabulary, width // 2)
        self.rnn = layer(width // 2, width, num_layers=layers, dropout=dropout)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Dense(width, vocabulary)

    def forward(self, ids):
        return self.logits(ids, None)[0]

    def logits(self, ids, state):
        """The logits, and the state to go on from."""
        out, state = self.rnn(self.embedding(ids), state)
        return self.head(self.dropout(out)), state

    def continued(self, ids, state):
        """(logits of the next character, state) after the new `ids` of one text."""
        logits, state = self.logits(ids[None], state)
        return logits[0, -1], state


class TransformerLM(nn.GPT):
    """A GPT that goes on with a text, however long, by its key-value cache."""

    def continued(self, ids, state):
        """(logits of the next character, state) after the new `ids` of one text."""
        seen, cache = state or (ids[:0], nn.KeyValueCache())
        ids = ids[-self.context :]
        seen = np.concatenate([seen, ids])
        if cache.length + len(ids) > self.context:  # full: read the last half of the text anew
            seen = seen[-max(1, self.context // 2) :]
            ids, cache = seen, nn.KeyValueCache()
        return self(ids[None], cache=cache)[0, -1], (seen, cache)

    def attention_maps(self, ids):
        """What each head of each block looks at: (blocks, heads, T, T)."""
        x, maps = self.position(self.token(ids[None])), []
        for block in self.blocks:
            _, weights = block.attention(block.norm1(x), causal=True, return_weights=True)
            maps.append(weights.numpy()[0])
            x = block(x, causal=True)
        return np.stack(maps)


def make_model(args, vocabulary):
    if args.model == "gpt":
        return TransformerLM(
            vocabulary, args.context, args.width, args.layers, args.heads, dropout=args.dropout
        )
    return RecurrentLM(args.model, vocabulary, args.width, args.layers, args.dropout)


def load_text(path):
    """(name, text) of a file, of tiny Shakespeare, or of Python's documentation."""
    if path:
        try:
            return Path(path).name, Path(path).read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"[char_lm] {path} is no text in UTF-8: {error}") from None
    try:
        return "tiny Shakespeare", tg.data.tiny_shakespeare()
    except tg.data.DataUnavailable as error:
        print(f"{error}\nTraining on tg.data.text_corpus() instead: Python's own documentation.")
        return "Python's documentation", tg.data.text_corpus()


def decay_groups(model, weight_decay):
    """Matrices decay; biases and the scales of norms do not."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    return [
        {"params": matrices, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]


def attempt(write, path):
    """Call `write(path)`, which makes a file; returns whether it could, and says so if not."""
    try:
        write(path)
    except ImportError:
        print("no picture: pip install 'tinygrad-like[examples]' brings matplotlib")
    except OSError as error:  # a full disk, for one: training goes on, an older file stays
        tqdm.write(f"could not write {path}: {error.strerror or error}", file=sys.stderr)
        return False
    return True


class Training:
    """A model in training, the text that it learns from, and the file that it goes on from."""

    saved = True  # whether the newest checkpoint could be written

    def __init__(self, args, name, text):
        self.args = args
        self.vocabulary = tg.data.Vocabulary(text)
        ids = self.vocabulary.encode(text)
        cut = int(0.9 * len(ids))
        self.held_out, self.start = ids[cut:], text[0]
        if len(self.held_out) <= args.context:
            raise ValueError(
                f"[char_lm] a tenth of {name} is held out, {len(self.held_out)} characters: "
                f"expected more than the context, {args.context}"
            )
        tg.seed(args.seed)
        self.model = make_model(args, len(self.vocabulary)).to(args.device)
        self.optimizer = tg.optim.AdamW(
            decay_groups(self.model, args.weight_decay), args.lr, betas=(0.9, 0.99)
        )
        self.schedule = tg.optim.CosineLR(
            self.optimizer, args.iters, min_lr=args.lr / 10, warmup_steps=args.warmup
        )
        self.batches = tg.data.TextBatches(ids[:cut], args.context, args.batch, seed=args.seed)
        self.autocast = tg.autocast(args.autocast or "float16", enabled=args.autocast is not None)
        self.scaler = tg.optim.GradScaler(enabled=args.autocast == "float16")
        self.losses, self.evaluations = [], []
        names = "batch iters lr warmup weight_decay clip autocast seed".split()
        settings = {k: getattr(args, k) for k in (*SIZES, *names)}
        self.checkpoint = tg.io.Checkpoint(
            Path(args.out) / "checkpoint.safetensors",
            {"text": name, "crc32": zlib.crc32(text.encode("utf-8", "replace")), **settings},
            model=self.model,
            optimizer=self.optimizer,
            schedule=self.schedule,
            batches=self.batches,
            scaler=self.scaler,
        )

    @property
    def step(self):
        return len(self.losses)

    def save(self):
        self.saved = attempt(self.keep, self.checkpoint.path)

    def keep(self, _):
        self.checkpoint.save(
            losses=np.array(self.losses, np.float32),
            evaluations=self.evaluations,
            characters=self.vocabulary.characters,
        )

    def resume(self):
        progress = self.checkpoint.load()
        self.losses, self.evaluations = progress["losses"].tolist(), progress["evaluations"]

    def loss(self, ids, following, reduction="mean"):
        """How badly the model foresees the characters that follow."""
        ids, following = (tg.Tensor(x, device=self.args.device) for x in (ids, following))
        with self.autocast:
            return tg.losses.cross_entropy(self.model(ids), following, reduction=reduction)

    def update(self):
        """One step; returns the loss."""
        loss = self.loss(*next(self.batches))
        self.optimizer.zero_grad()
        with np.errstate(over="ignore", invalid="ignore"):  # left to the scaler
            self.scaler.scale(loss).backward()
        self.scaler.unscale(self.optimizer)
        tg.optim.clip_grad_norm(self.model.parameters(), self.args.clip)
        self.scaler.step(self.optimizer)
        self.schedule.step()
        return loss.item()

    def evaluate(self):
        """The mean loss over all of the held-out text, cut into pieces of the context's length."""
        context, size = self.args.context, max(1, 8192 // self.args.context)
        pieces = (len(self.held_out) - 1) // context
        ids = self.held_out[: pieces * context].reshape(pieces, context)
        following = self.held_out[1 : pieces * context + 1].reshape(pieces, context)
        self.model.eval()
        total = 0.0
        with tg.no_grad():
            for k in range(0, pieces, size):
                part = slice(k, k + size)
                total += self.loss(ids[part], following[part], reduction="sum").item()
        self.model.train()
        return total / ids.size

    def run(self):
        """Train to the last step; returns False if Ctrl-C came first."""
        interrupted = []
        before = signal.signal(signal.SIGINT, lambda *_: interrupted.append(True))
        bar = tqdm(total=self.args.iters, initial=self.step, unit="step", disable=None)
        start, first = time.perf_counter(), self.step
        try:
            while self.step < self.args.iters:
                loss = self.update()
                if not math.isfinite(loss):
                    raise SystemExit(f"the loss is {loss}: lower --lr")
                self.losses.append(loss)
                tokens = (self.step - first) * self.args.batch * self.args.context
                rate = tokens / (time.perf_counter() - start)
                bar.set_postfix_str(f"loss {loss:.3f}, {rate:,.0f} tokens/s", refresh=False)
                bar.update()
                if self.step % self.args.eval_every == 0 or self.step == self.args.iters:
                    self.report(bar, rate)
                if interrupted or self.checkpoint.age >= self.args.save_every:
                    self.save()
                if interrupted:
                    return False
        finally:
            bar.close()
            signal.signal(signal.SIGINT, before)
        return True

    def report(self, bar, rate):
        """Evaluate, show a sample, and keep a checkpoint."""
        self.evaluations.append([self.step, self.evaluate()])
        recent = np.mean(self.losses[-self.args.eval_every :])
        text = write(self.model, self.vocabulary, self.start, 100, self.args)
        bar.write(
            f"step {self.step}: training loss {recent:.3f}, validation loss "
            f"{self.evaluations[-1][1]:.4f}, {rate:,.0f} tokens/s\n    {text.strip()!r}"
        )
        self.save()


def write(model, vocabulary, prompt, count, args):
    """`prompt` and `count` characters that the model adds to it."""
    if not prompt:
        raise ValueError("[sample] the prompt is empty, expected a character to begin with")
    random = np.random.default_rng(args.seed)
    model.eval()
    text, state, ids = [prompt], None, vocabulary.encode(prompt)
    with tg.no_grad():
        for _ in range(count):
            logits, state = model.continued(ids, state)
            ids = np.array([choose(logits.numpy().astype(np.float64), random, args)])
            text.append(vocabulary.decode(ids))
    model.train()
    return "".join(text)


def choose(logits, random, args):
    """Draw a character: temperature sharpens, top-k and top-p (nucleus) cut the unlikely ones."""
    if args.temperature == 0:
        return int(logits.argmax())
    order = np.argsort(-logits, kind="stable")[: args.top_k]
    with np.errstate(over="ignore"):  # at a temperature near 0 the others count for nothing
        p = np.exp((logits[order] - logits[order[0]]) / args.temperature)
    p /= p.sum()
    kept = np.cumsum(p) - p < args.top_p
    kept[0] = True
    return int(random.choice(order[kept], p=p[kept] / p[kept].sum()))


def draw(training, path):
    """The loss curves and, of a GPT, what its heads look at in a sample."""
    from matplotlib.figure import Figure

    if not isinstance(training.model, TransformerLM):
        figure = Figure(figsize=(8, 6), layout="constrained")
        draw_losses(figure.subplots(), training)
    else:
        sample = training.held_out[: min(20, training.args.context)]
        with tg.no_grad():
            maps = training.model.eval().attention_maps(sample)
        height, width = (max(4, 2 * count) for count in maps.shape[:2])
        figure = Figure(figsize=(8 + width, height), layout="constrained")
        left, right = figure.subfigures(1, 2, width_ratios=(8, width))
        draw_losses(left.subplots(), training)
        draw_attention(right, maps, training.vocabulary.decode(sample))
    figure.savefig(path, dpi=120)


def draw_losses(axes, training):
    smooth = max(1, len(training.losses) // 100)
    means = np.convolve(training.losses, np.ones(smooth) / smooth, "valid")
    axes.plot(np.arange(len(means)) + smooth, means, label="training")
    axes.plot(*np.transpose(training.evaluations), "o-", label="validation")
    title = training.checkpoint.settings["text"]
    axes.set(xlabel="step", ylabel="loss (nats per character)", title=title)
    axes.legend()


def draw_attention(figure, maps, text):
    """Maps (blocks, heads, T, T) of a text; the square root shows weak attention, too."""
    shown = {" ": "\N{OPEN BOX}", "\n": "\N{DOWNWARDS ARROW WITH CORNER LEFTWARDS}"}
    # Fonts lack many characters from the Arabic ones on.
    labels = [shown.get(c, c if "!" <= c < "\N{ARABIC NUMBER SIGN}" else "?") for c in text]
    places = range(len(labels))
    figure.suptitle("Attention from row to column (its square root)")
    for (i, j), axes in np.ndenumerate(figure.subplots(*maps.shape[:2], squeeze=False)):
        axes.imshow(np.sqrt(maps[i, j]), cmap="Blues", vmin=0, vmax=1)
        axes.set_title(f"block {i + 1}, head {j + 1}", fontsize=8)
        axes.set_xticks(places, labels, fontsize=6)
        axes.set_yticks(places, labels if j == 0 else [""] * len(labels), fontsize=6)
        axes.tick_params(length=0, pad=2)


def parse(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--model", choices=("lstm", "gru", "gpt"), default="gpt")
    add("--layers", type=int, help="4 for gpt, else 2")
    add("--width", type=int, help="128 for gpt, else 256")
    add("--heads", type=int, default=4)
    add("--context", type=int, default=64)
    add("--batch", type=int, help="12 for gpt, else 32")
    add("--iters", type=int, default=2000)
    add("--lr", type=float, help="1e-3 for gpt, else 2e-3")
    add("--warmup", type=int, help="steps to the full learning rate: 100, or half of a short run")
    add("--weight-decay", type=float, default=0.1)
    add("--clip", type=float, default=1.0, help="largest norm of the gradient")
    add("--dropout", type=float, default=0.0)
    add("--autocast", choices=("float16", "bfloat16"), help="compute products in this type")
    add("--seed", type=int, default=0)
    add("--device", default="cpu", help="cpu or cuda")
    add("--text", help="a text file to learn from")
    add("--eval-every", type=int, default=500, help="steps")
    add("--save-every", type=float, default=30, help="seconds: what a killed run may lose")
    add("--sample", metavar="TEXT", help="go on with TEXT by the checkpoint in --out")
    add("--length", type=int, default=500, help="characters to write")
    add("--temperature", type=float, default=0.8)
    add("--top-k", type=int, help="draw from the k likeliest characters only")
    add("--top-p", type=float, default=1.0, help="draw from the likeliest of this total only")
    add("--out", default="runs/char_lm", help="folder for what it writes")
    add("--resume", action="store_true", help="go on from the checkpoint in --out")
    args = parser.parse_args(arguments)
    check(parser, args)
    gpt = args.model == "gpt"
    defaults = {
        "layers": 4 if gpt else 2,
        "width": 128 if gpt else 256,
        "batch": 12 if gpt else 32,
        "lr": 1e-3 if gpt else 2e-3,
        "warmup": min(100, args.iters // 2),
    }
    for name, value in defaults.items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    return args


def check(parser, args):
    """Refuse numbers that the library would not see, or too late."""
    at_least = {"iters": 1, "eval_every": 1, "save_every": 0, "clip": 0}
    at_least |= {"length": 0, "temperature": 0, "top_k": 1, "top_p": 0}
    for name, low in at_least.items():
        value, high = getattr(args, name), 1 if name == "top_p" else math.inf
        if value is not None and not low <= value <= high:
            limits = f"{low} to {high}" if high == 1 else f"at least {low}"
            parser.error(f"--{name.replace('_', '-')} is {value}, expected {limits}")


def sample(args):
    """Write on from a checkpoint, whatever model it holds."""
    path = Path(args.out) / "checkpoint.safetensors"
    state = tg.io.load(path)
    if "characters" not in state:
        raise ValueError(f"[sample] {path} holds no character model, but {sorted(state)}")
    for name in SIZES:
        setattr(args, name, state["settings"][name])
    vocabulary = tg.data.Vocabulary(state["characters"])
    model = make_model(args, len(vocabulary))
    model.load_state_dict(state["model"])
    print(write(model.to(args.device), vocabulary, args.sample, args.length, args))


def main():
    args = parse()
    try:
        if args.sample is not None:
            sample(args)
            return 0
        training = Training(args, *load_text(args.text))
        Path(args.out).mkdir(parents=True, exist_ok=True)
        if args.resume:
            training.resume()
    except (ValueError, OSError) as error:  # of what the user gave: the message says it all
        raise SystemExit(str(error)) from None
    print(training.model.summary())
    if not training.run():
        path = training.checkpoint.path
        print(f"stopped; go on with --resume (state in {path})" if training.saved else "stopped")
        return 130
    print(write(training.model, training.vocabulary, training.start, args.length, args))
    picture = Path(args.out) / "report.png"
    written = [training.saved, attempt(lambda path: draw(training, path), picture)]
    if args.autocast == "float16":
        print(f"{training.scaler.skipped} of {training.step} steps overflowed, skipped")
    what = "everything is" if all(written) else "what could be written is"
    print(f"validation loss {training.evaluations[-1][1]:.4f}; {what} in {args.out}")
    return 0 if all(written) else 1


if __name__ == "__main__":
    sys.exit(main())
