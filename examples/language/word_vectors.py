"""Learn a vector for each word of a text, so that words of one kind lie together.

    python examples/language/word_vectors.py                  # word2vec on tiny Shakespeare
    python examples/language/word_vectors.py --method glove
    python examples/language/word_vectors.py --text my.txt --near "sun,moon"
    python examples/language/word_vectors.py --gensim         # beside gensim's word2vec
    python examples/language/word_vectors.py --resume         # go on after Ctrl-C

word2vec is skip-gram with negative sampling: from a word its neighbours within `--window` are told
from words drawn at random (Mikolov et al. 2013, "Distributed representations of words and
phrases"). Blocks of text are compared as matrix products, and all words of a block share their
random words (Ji et al. 2016, "Parallelizing word2vec in shared and distributed memory"). GloVe
fits products of vectors to the logarithms of counts (Pennington, Socher and Manning 2014).
The tables are Embeddings with `sparse=True`: a step of Adagrad costs the rows that it reads.
The score asks, for each word of some groups (kin, titles, names of a play), how far in front the
others of its group stand among all these words. 1 is perfect, what chance gives is printed.
Everything it writes lies in `--out`: checkpoint.safetensors, history.jsonl, report.png.
"""

import time
from functools import partial

import numpy as np
import similarity
from similarity import Words

import tinygrad_like as tg
from tinygrad_like import nn
from tinygrad_like.training import at_least, command_line, open_run, run_program

BLOCKS, LENGTH, NOISE = 16, 64, 32  # of a step of word2vec: blocks, their words, random words


class SkipGram(nn.Module):
    """sum_ij near_ij (softplus(-w_i c_j) + negatives E softplus(w_i c_noise)) over blocks of text.

    near_ij is how often gensim's windows, of random length up to `window`, hold both places.
    """

    def __init__(self, words, args):
        self.words = nn.Embedding(len(words), args.width, sparse=True)
        self.contexts = nn.Embedding(len(words), args.width, sparse=True)
        self.words.weight.data[...] *= 0.5 / args.width
        self.contexts.weight.data[...] = 0
        apart = abs(np.subtract.outer(np.arange(LENGTH), np.arange(LENGTH)))
        near = np.where(apart > 0, np.maximum(1 - (apart - 1) / args.window, 0), 0)
        self.near = near.astype(np.float32)
        self.push = self.near.sum(axis=1, keepdims=True) * np.float32(args.negatives / NOISE)
        self.text = words.thinned(args.epochs, args.sample, args.seed)
        self.drawn = np.cumsum(words.counts**0.75)
        self.steps = max(1, len(self.text) // (BLOCKS * LENGTH))

    def batch(self, rng):
        """Blocks of text (BLOCKS, LENGTH), and random words for each one (BLOCKS, NOISE)."""
        begins = rng.integers(len(self.text) - LENGTH + 1, size=(BLOCKS, 1))
        noise = np.searchsorted(self.drawn, self.drawn[-1] * rng.random((BLOCKS, NOISE)))
        return self.text[begins + np.arange(LENGTH)], noise

    def forward(self, ids, noise):
        words = self.words(ids)
        true, false = words @ self.contexts(ids).mT, words @ self.contexts(noise).mT
        pulled = (tg.softplus(-true) * tg.Tensor(self.near)).sum()
        return pulled + (tg.softplus(false) * tg.Tensor(self.push)).sum()

    def vectors(self):
        return self.words.weight.numpy()


class GloVe(nn.Module):
    """sum_ij min(1, (x_ij / most)^0.75) (w_i c_j + a_i + b_j - log x_ij)^2 over counted pairs."""

    def __init__(self, words, args, most=10, size=4096):
        self.words, self.contexts = (
            nn.Embedding(len(words), args.width, sparse=True) for _ in range(2)
        )
        self.a, self.b = (nn.Embedding(len(words), 1, sparse=True) for _ in range(2))
        for table in (self.words, self.contexts, self.a, self.b):
            table.weight.data[...] *= 0.5 / args.width
        self.pairs = words.pairs(args.window)
        self.most, self.size = most, min(size, -(-len(self.pairs[0]) // 5))
        self.steps = args.epochs * len(self.pairs[0]) // self.size

    def batch(self, rng):
        """Words, words beside them, and how often they stand together: (size,) each."""
        drawn = rng.integers(len(self.pairs[0]), size=self.size)
        return [each[drawn] for each in self.pairs]

    def forward(self, left, right, count):
        weight = np.minimum(1, (count / self.most) ** 0.75)
        product = (self.words(left) * self.contexts(right)).sum(axis=1, keepdims=True)
        error = (product + self.a(left) + self.b(right))[:, 0] - tg.Tensor(np.log(count))
        return (tg.Tensor(weight) * error**2).sum()

    def vectors(self):
        return self.words.weight.numpy() + self.contexts.weight.numpy()


METHODS = {"word2vec": SkipGram, "glove": GloVe}


def parse(arguments=None):
    parser = command_line(__doc__, out="runs/word_vectors")
    add = parser.add_argument
    add("--method", choices=METHODS, default="word2vec")
    add("--text", help="a text file to learn from")
    add("--width", type=at_least(1), default=100, help="numbers in a vector")
    add("--window", type=at_least(1, most=LENGTH - 1), default=5, help="words to either side")
    add("--negatives", type=at_least(1), default=5, help="random words for each neighbour")
    add("--least", type=at_least(1), default=5, help="leave out words that are rarer than this")
    add("--sample", type=at_least(1e-9, float), default=1e-3, help="thins out words beyond it")
    add("--epochs", type=at_least(1), default=20)
    add("--lr", type=at_least(0, float), default=0.3)
    add("--threads", type=at_least(1), default=1)
    add("--near", default="king,father,sword,love,two", help="words whose neighbours are shown")
    add("--gensim", action="store_true", help="train gensim's word2vec as well")
    return parser.parse_args(arguments)


def main(arguments=None):
    args = parse(arguments)
    tg.set_num_threads(args.threads)
    tg.set_device(args.device)
    name, text = similarity.read(args.text)
    words = Words(text, args.least, LENGTH)
    tg.seed(args.seed)
    model = METHODS[args.method](words, args)
    optimizer = tg.optim.Adagrad(model.parameters(), args.lr, initial_accumulator_value=1)
    schedule = tg.optim.LinearLR(optimizer, model.steps, end=0.01)
    parts = {"model": model, "optimizer": optimizer, "schedule": schedule}
    options = {"settings": {"data": name}, "may_differ": ("near", "gensim", "threads")}
    run = open_run(args, keep={"words": words.names}, **options, **parts)
    first, spent = run.step, 0.0
    begin = time.process_time()
    for step in run.steps(model.steps):
        loss = model(*model.batch(np.random.default_rng((args.seed, step))))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        run.log(loss=loss.item() / (BLOCKS * LENGTH))
        if step % max(1, model.steps // 20) == 0 or step == model.steps:
            spent += time.process_time() - begin
            run.log(score=words.score(model.vectors()))
            begin = time.process_time()

    rate = words.read * args.epochs * (run.step - first) / model.steps / max(spent, 1e-9)
    rows = {args.method: (model.vectors(), rate)}
    if args.gensim:
        rows["gensim"] = similarity.gensim(words, args)
    similarity.report(words, rows, args.near.split(","))
    vectors, panel = model.vectors(), partial(similarity.draw, words=words)
    run.plot("report.png", partial(panel, vectors=vectors), size=(16, 8), widths=(1, 2))
    return run.finish(f"score {words.score(vectors):.3f}, {rate:,.0f} words a second")


if __name__ == "__main__":
    run_program(main)
