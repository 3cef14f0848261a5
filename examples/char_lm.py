"""Train a language model on the characters of a text, and let it write.

    python examples/char_lm.py                        # a small GPT on tiny Shakespeare
    python examples/char_lm.py --model lstm           # or gru
    python examples/char_lm.py --text my.txt          # any text
    python examples/char_lm.py --autocast float16     # products in half precision; or bfloat16
    python examples/char_lm.py --sample "ROMEO:"      # from the checkpoint in --out
    python examples/char_lm.py --resume               # go on after Ctrl-C, or worse

Without tiny Shakespeare and without a network it trains on the documentation of Python itself.
Everything it writes lies in `--out`: checkpoint.safetensors, history.jsonl, report.png.
"""

import zlib
from functools import partial
from pathlib import Path

import numpy as np
from corpus import load_text, pieces

import tinygrad_like as tg
from tinygrad_like import nn
from tinygrad_like.training import at_least, command_line, open_run, panels, run_program

SIZES = ("model", "layers", "width", "heads", "context", "dropout")  # all that a model is made by
WRITING = "text eval_every sample length temperature top_k top_p repetition_penalty".split()
DEFAULTS = {
    "gpt": {"layers": 4, "width": 128, "batch": 12, "lr": 1e-3},
    "recurrent": {"layers": 2, "width": 256, "batch": 32, "lr": 2e-3},
}


def make_model(args, vocabulary):
    if args.model == "gpt":
        sizes = args.context, args.width, args.layers, args.heads
        return nn.GPT(vocabulary, *sizes, dropout=args.dropout)
    return nn.RecurrentLM(args.model, vocabulary, args.width, args.layers, args.dropout)


def write(model, vocabulary, prompt, count, args):
    """`prompt` and `count` characters that the model adds to it."""
    names = ("temperature", "top_k", "top_p", "repetition_penalty", "seed")
    options = {name: getattr(args, name) for name in names}
    ids = vocabulary.encode(prompt)
    if args.model == "gpt":
        ids = ids[-args.context :]  # all that it can see
    return prompt + vocabulary.decode(model.generate(ids, count, **options))


def draw_attention(figure, model, ids, text):
    """What the heads of a GPT look at in a text."""
    figure.suptitle("Attention from row to column (its square root)")
    maps = model.attention_maps(ids)
    blocks, heads = (range(1, count + 1) for count in maps.shape[:2])
    titles = [[f"block {i}, head {j}" for j in heads] for i in blocks]
    panels.attention(figure, maps, text, text, titles)


def parse(arguments=None):
    parser = command_line(__doc__, out="runs/char_lm")
    add = parser.add_argument
    add("--model", choices=("lstm", "gru", "gpt"), default="gpt")
    add("--layers", type=int, help="4 for gpt, else 2")
    add("--width", type=int, help="128 for gpt, else 256")
    add("--heads", type=int, default=4)
    add("--context", type=int, default=64)
    add("--batch", type=int, help="12 for gpt, else 32")
    add("--iters", type=at_least(1), default=2000)
    add("--lr", type=float, help="1e-3 for gpt, else 2e-3")
    add("--warmup", type=int, help="steps to the full learning rate: 100, or half of a short run")
    add("--weight-decay", type=float, default=0.1)
    add("--clip", type=at_least(0, float), default=1.0, help="largest norm of the gradient")
    add("--dropout", type=float, default=0.0)
    add("--autocast", choices=("float16", "bfloat16"), help="compute products in this type")
    add("--text", help="a text file to learn from")
    add("--eval-every", type=at_least(1), default=500, help="steps")
    add("--sample", metavar="TEXT", help="go on with TEXT by the checkpoint in --out")
    add("--length", type=at_least(0), default=500, help="characters to write")
    add("--temperature", type=at_least(0, float), default=0.8)
    add("--top-k", type=at_least(1), help="draw from the k likeliest characters only")
    share = at_least(0, float, most=1)
    add("--top-p", type=share, default=1.0, help="draw from the likeliest of this total only")
    add("--repetition-penalty", type=at_least(1, float), default=1.0, help="1: none")
    args = parser.parse_args(arguments)
    defaults = DEFAULTS["gpt" if args.model == "gpt" else "recurrent"]
    for name, value in {**defaults, "warmup": min(100, args.iters // 2)}.items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    return args


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
    print(write(model, vocabulary, args.sample, args.length, args))


def main():
    args = parse()
    tg.set_device(args.device)
    if args.sample is not None:
        return sample(args)
    name, text = load_text(args.text)
    vocabulary = tg.data.Vocabulary(text)
    ids = vocabulary.encode(text)
    train, held_out = np.split(ids, [int(0.9 * len(ids))])
    test = pieces(held_out, args.context, name)
    tg.seed(args.seed)
    model = make_model(args, len(vocabulary))
    groups = tg.optim.decay_groups(model, args.weight_decay)
    optimizer = tg.optim.AdamW(groups, args.lr, betas=(0.9, 0.99))
    schedule = tg.optim.CosineLR(
        optimizer, args.iters, min_lr=args.lr / 10, warmup_steps=args.warmup
    )
    batches = tg.data.TextBatches(train, args.context, args.batch, seed=args.seed)
    autocast = tg.autocast(args.autocast or "float16", enabled=args.autocast is not None)
    scaler = tg.optim.GradScaler(enabled=args.autocast == "float16")
    crc32 = zlib.crc32(text.encode("utf-8", "replace"))
    settings, keep = {"data": name, "crc32": crc32}, {"characters": vocabulary.characters}
    parts = {"model": model, "optimizer": optimizer, "schedule": schedule, "batches": batches}
    options = {"settings": settings, "may_differ": WRITING, "keep": keep}
    run = open_run(args, **options, **parts, scaler=scaler)
    print(model.summary())
    for step in run.steps(args.iters):
        x, y = map(tg.Tensor, next(batches))
        with autocast:
            loss = tg.losses.cross_entropy(model(x), y)
        optimizer.zero_grad()
        with np.errstate(over="ignore", invalid="ignore"):  # left to the scaler
            scaler.scale(loss).backward()
        scaler.unscale(optimizer)
        tg.optim.clip_grad_norm(model.parameters(), args.clip)
        scaler.step(optimizer)
        schedule.step()
        run.log(loss=loss)
        if step % args.eval_every == 0 or step == args.iters:
            with autocast:
                loss = tg.training.evaluate(model, *test, max(1, 8192 // args.context))
            run.log(validation_loss=loss)
            run.print(f"    {write(model, vocabulary, text[0], 100, args).strip()!r}")

    print(write(model, vocabulary, text[0], args.length, args))
    seen = held_out[: min(20, args.context)]
    heads = partial(draw_attention, model=model, ids=seen, text=vocabulary.decode(seen))
    if args.model == "gpt":
        run.plot("report.png", heads, size=(8 + 2 * args.heads, max(4, 2 * args.layers)))
    else:
        run.plot("report.png", size=(8, 6))
    if args.autocast == "float16":
        print(f"{scaler.skipped} of {run.step} steps overflowed, skipped")
    return run.finish(f"validation loss {run.history['validation_loss'].values[-1]:.4f}")


if __name__ == "__main__":
    run_program(main)
