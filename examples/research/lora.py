"""Teach a trained GPT another kind of text by a few per cent of its parameters: LoRA.

    python examples/research/lora.py

A small GPT learns the characters of one text, Python's own documentation. Then it is to go on with
another, tiny Shakespeare, and all of its weights are frozen. Beside each matrix W of its blocks
stands a change of low rank, down @ up, and these two thin matrices alone are trained. In the end
`nn.unparametrize` adds the changes to the weights: the result is an ordinary GPT again.

Printed are the loss on the held-out part of the new text before and after, the share of parameters
that were trained, and what the model writes. Without tiny Shakespeare and without a network
the second text is the source code of Python's library.

Source: Hu et al. 2021, "LoRA: Low-rank adaptation of large language models", section 4.
"""

import inspect
from pathlib import Path

import tinygrad_like as tg
from tinygrad_like import nn
from tinygrad_like.training import at_least, command_line, open_run, run_program


def second_text():
    """Tiny Shakespeare, or else the source of some modules of Python's library."""
    try:
        return tg.data.tiny_shakespeare()
    except tg.data.DataUnavailable as error:
        print(f"{error}\nAdapting to the source code of Python's library instead.")
        import argparse
        import typing
        import unittest.mock

        return "".join(map(inspect.getsource, (argparse, typing, unittest.mock)))


def add_changes(model, rank):
    """Freeze a GPT and give the matrices of its blocks changes of this rank, which start at 0."""
    model.freeze()
    for weights in ("*.attention.*.weight", "*.feed_forward.*.weight"):
        nn.parametrize(model, weights, nn.LowRank(rank))


def train(model, ids, steps, lr, folder, args):
    """A run over random pieces of a text, which trains what of the model is not frozen."""
    batches = tg.data.TextBatches(ids, args.context, args.batch, seed=args.seed)
    optimizer = tg.optim.Adam([p for p in model.parameters() if p.requires_grad], lr)
    parts = {"model": model, "optimizer": optimizer, "batches": batches}
    resume = args.resume and (folder / "checkpoint.safetensors").exists()
    run = open_run(args, folder, resume=resume, **parts)
    for _ in run.steps(steps):
        x, y = (tg.Tensor(ids, device=args.device) for ids in next(batches))
        loss = tg.losses.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        run.log(loss=loss)
    return run


def held_out_loss(model, ids, context):
    """The loss on all pieces of a text."""
    count = (len(ids) - 1) // context
    pieces = (ids[k : k + count * context].reshape(count, context) for k in (0, 1))
    return tg.training.evaluate(model, *pieces)


def written(model, vocabulary, args):
    """What the model makes of a beginning that both texts could have."""
    prompt = "The "
    options = {"temperature": 0.5, "seed": args.seed}
    ids = nn.generate(model, vocabulary.encode(prompt), args.length, **options)
    return prompt + vocabulary.decode(ids)


def parse(arguments=None):
    parser = command_line(__doc__, out="runs/lora")
    add = parser.add_argument
    add("--steps", type=at_least(1), default=1000, help="of the training on the first text")
    add("--adapt-steps", type=at_least(1), default=500, help="of the changes, on the second text")
    add("--rank", type=at_least(1), default=4, help="of the changes")
    add("--layers", type=at_least(1), default=2)
    add("--width", type=at_least(1), default=128)
    add("--context", type=at_least(1), default=64)
    add("--batch", type=at_least(1), default=12)
    add("--length", type=at_least(0), default=150, help="characters to write")
    return parser.parse_args(arguments)


def main(arguments=None):
    args = parse(arguments)
    tg.set_device(args.device)
    tg.seed(args.seed)
    texts = tg.data.text_corpus(), second_text()
    vocabulary = tg.data.Vocabulary("".join(texts))
    first, second = map(vocabulary.encode, texts)
    second, held_out = second[: -len(second) // 10], second[-len(second) // 10 :]
    model = nn.GPT(len(vocabulary), args.context, args.width, args.layers, 4)
    train(model, first, args.steps, 2e-3, Path(args.out, "base"), args)
    before = held_out_loss(model, held_out, args.context)
    print(f"before: {written(model, vocabulary, args)!r}")

    add_changes(model, args.rank)
    trained = sum(p.size for p in model.parameters() if p.requires_grad)
    share = trained / model.num_parameters()
    run = train(model, second, args.adapt_steps, 1e-2, Path(args.out, "adapted"), args)
    nn.unparametrize(model, "*")
    after = held_out_loss(model, held_out, args.context)
    print(f"after: {written(model, vocabulary, args)!r}")
    run.write("merged.safetensors", lambda path: tg.io.save(path, model.state_dict()))
    run.plot("report.png")
    return run.finish(f"loss {before:.3f}, after training {share:.1%} of the GPT {after:.3f}")


if __name__ == "__main__":
    run_program(main)
