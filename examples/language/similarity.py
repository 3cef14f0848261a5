"""The words of a text for word_vectors.py, and what the vectors of these words know."""

import re
import time
from pathlib import Path

import numpy as np

import tinygrad_like as tg

# Words of one kind, of Shakespeare's: of kin and of rank, of the body, of four of his plays.
GROUPS = {
    "kin": "father mother brother sister son daughter husband wife cousin uncle nephew grandsire",
    "titles": "king queen prince duke lord lady earl knight princess",
    "body": "hand hands eye eyes heart head tongue lips face arm arms blood breast knee hair",
    "thou": "thou thee thy thine thyself",
    "numbers": "two three four five six seven ten twenty hundred thousand",
    "nature": "sun moon stars earth sea sky wind storm fire",
    "time": "day night morning hour hours week month year years",
    "war": "sword war battle army soldier soldiers enemy",
    "feelings": "love hate joy grief sorrow fear anger hope",
    "Histories": "richard henry edward clarence warwick gloucester york bolingbroke",
    "Coriolanus": "marcius coriolanus tullus aufidius cominius menenius sicinius brutus volsces",
    "Verona": "romeo juliet tybalt mercutio benvolio paris capulet montague",
    "Padua": "petruchio katharina kate bianca lucentio tranio gremio hortensio baptista",
}
FEWEST = 10  # words of groups, below which a score says nothing
SHOWN = 6  # neighbours


def read(path):
    """(name, text) of a file, or of tiny Shakespeare."""
    if not path:
        return "tiny Shakespeare", tg.data.tiny_shakespeare()
    try:
        return Path(path).name, Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"[word_vectors] {path} is no text in UTF-8: {error}") from None


class Words:
    """The words of a text in lower case, and the numbers of those that occur `least` times.

    Attributes:
        names: the words, sorted. counts: how often each one occurs.
        ids: the text, as their numbers; words that are too rare are left out.
        tokens: the text as words. read: how many these are.

    Raises ValueError for a text with fewer than `shortest` of these words.
    """

    def __init__(self, text, least, shortest):
        self.tokens = re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)*", text.lower())
        self.read = len(self.tokens)
        names, ids, counts = np.unique(
            np.array(self.tokens, dtype=str), return_inverse=True, return_counts=True
        )
        often = counts >= least
        self.names, self.counts = names[often].tolist(), counts[often]
        self.ids = (np.cumsum(often) - 1)[ids[often[ids]]]
        if len(self.ids) < shortest:
            raise ValueError(
                f"[word_vectors] the text has {len(self.ids)} words that occur {least} times or "
                f"more, expected at least {shortest}: take a longer text or a smaller --least"
            )
        self.places = {name: i for i, name in enumerate(self.names)}
        self.groups = {}  # the first one that names a word
        for group, members in GROUPS.items():
            for name in members.split():
                if name in self.places:
                    self.groups.setdefault(name, group)

    def __len__(self):
        return len(self.names)

    def thinned(self, epochs, sample, seed):
        """The text `epochs` times; a word of frequency f stays with sqrt(sample / f) + sample / f.

        A text that would lose too much stays whole.
        """
        share = sample * self.counts.sum() / self.counts
        stays, rng = np.sqrt(share) + share, np.random.default_rng(seed)
        kept = [self.ids[rng.random(len(self.ids)) < stays[self.ids]] for _ in range(epochs)]
        return np.concatenate(kept if len(kept[0]) >= len(self.ids) // 4 else [self.ids] * epochs)

    def pairs(self, window):
        """(words, words beside them, sums of 1 / their distance) of all pairs within a window."""
        keys, shares = [], []
        for distance in range(1, window + 1):
            left, right = self.ids[:-distance], self.ids[distance:]
            keys += [left * len(self) + right, right * len(self) + left]
            shares.append(np.full(2 * len(left), 1 / distance))
        found, places = np.unique(np.concatenate(keys), return_inverse=True)
        counts = np.bincount(places, np.concatenate(shares)).astype(np.float32)
        return found // len(self), found % len(self), counts

    def score(self, vectors):
        """The mean average precision of the words of a group among the words of all groups.

        0 for a text that has too few of them.
        """
        names = list(self.groups)
        if len(names) < FEWEST:
            return 0.0
        unit = units(vectors[[self.places[name] for name in names]])
        labels = np.unique([self.groups[name] for name in names], return_inverse=True)[1]
        likeness = unit @ unit.T
        np.fill_diagonal(likeness, -np.inf)
        found = []
        for label, row in zip(labels, likeness, strict=True):
            hits = labels[np.argsort(-row, kind="stable")[:-1]] == label
            if hits.any():
                found.append((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits].mean())
        return float(np.mean(found))

    def nearest(self, vectors, name, count=SHOWN):
        """The words whose vectors point most nearly where that of `name` points."""
        unit = units(vectors)
        order = np.argsort(-(unit @ unit[self.places[name]]), kind="stable")
        return [self.names[i] for i in order if i != self.places[name]][:count]


def units(vectors):
    """Vectors (N, width), scaled to length 1."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-30)


def gensim(words, args):
    """(vectors, words a second) of gensim's word2vec by the same settings, on one thread."""
    try:
        from gensim.models import Word2Vec
    except ImportError:
        raise ValueError("[word_vectors] gensim is not installed: pip install gensim") from None
    settings = {"vector_size": args.width, "window": args.window, "negative": args.negatives}
    settings |= {"sample": args.sample, "min_count": args.least, "seed": args.seed + 1}
    model = Word2Vec(sg=1, workers=1, **settings)
    lines = [words.tokens[i : i + 1000] for i in range(0, words.read, 1000)]
    model.build_vocab(lines)
    begin = time.process_time()
    model.train(lines, total_examples=len(lines), epochs=args.epochs)
    rate = words.read * args.epochs / (time.process_time() - begin)
    return np.array([model.wv[name] for name in words.names]), rate


def report(words, rows, asked):
    """Print {name: (vectors, words a second)}: scores, rates, and the neighbours of some words."""
    chance = np.random.default_rng(0).normal(size=rows[next(iter(rows))][0].shape)
    print(f"{'':10}  score  words a second")
    print(f"{'by chance':10}  {words.score(chance):.3f}")
    for name, (vectors, rate) in rows.items():
        print(f"{name:10}  {words.score(vectors):.3f}  {rate:14,.0f}")
    for name in asked:
        if name.strip() not in words.places:
            print(f"{name.strip()!r} is not among the {len(words):,} words")
            continue
        for method, (vectors, _) in rows.items():
            print(f"{name.strip():8} {method:9} {', '.join(words.nearest(vectors, name.strip()))}")


def draw(figure, words, vectors):
    """A map of the words of all groups, or of the most frequent ones, by t-SNE."""
    from matplotlib import colormaps
    from sklearn.manifold import TSNE

    names = list(words.groups)
    if len(names) < FEWEST:
        names = [words.names[i] for i in np.argsort(-words.counts, kind="stable")[:100]]
    unit = units(vectors[[words.places[name] for name in names]])
    nearby = min(12, (len(names) - 1) // 3)
    axes = figure.subplots()
    places = TSNE(perplexity=max(nearby, 1), init="pca", random_state=0).fit_transform(unit)
    colours = [*colormaps["Dark2"].colors, *colormaps["Set1"].colors]
    kinds = [*dict.fromkeys(words.groups.values())]
    for name, (x, y) in zip(names, places, strict=True):
        kind = words.groups.get(name)
        colour = colours[kinds.index(kind)] if kind else "0.3"
        axes.scatter(x, y, s=4, color=colour)
        axes.text(x, y, name, fontsize=8, color=colour, ha="center", va="bottom")
    axes.set_title("Words by their vectors (t-SNE); a colour is a group")
    axes.set_axis_off()
