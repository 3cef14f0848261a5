"""How good a classifier of words is: its scores, beside a bag of words and a constant guess."""

import numpy as np

from tinygrad_like.training import panels


def scores(counts):
    """Accuracy, and the mean over classes of precision, recall and F1 (0 where nothing counts)."""
    right = np.diag(counts)
    taken, given = counts.sum(axis=0), counts.sum(axis=1)
    return {
        "accuracy": right.sum() / counts.sum(),
        "precision": np.mean(right / np.maximum(taken, 1)),
        "recall": np.mean(right / np.maximum(given, 1)),
        "F1": np.mean(2 * right / np.maximum(taken + given, 1)),
    }


def bag_of_words(training, test):
    """What a logistic regression on the words of a piece, in no order, predicts for the test."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    weights = TfidfVectorizer(analyzer=lambda words: words, sublinear_tf=True)
    baseline = make_pipeline(weights, LogisticRegression(C=10, max_iter=1000))
    baseline.fit(*zip(*training, strict=True))
    return baseline.predict([words for words, _ in test])


def compare(counts, labels, parts, name):
    """The scores of our model, of the baseline where it can be had, and of a constant guess."""
    table = {name: scores(counts)}
    try:
        found = panels.count_pairs(labels, bag_of_words(*parts), len(counts))
        table["bag of words"] = scores(found)
    except ImportError:
        print("no bag of words: pip install 'tinygrad-like[examples]' brings scikit-learn")
    commonest = np.bincount([label for _, label in parts[0]]).argmax()
    guess = np.full_like(labels, commonest)
    table["largest class"] = scores(panels.count_pairs(labels, guess, len(counts)))
    print(f"{'test set':14}" + "".join(f"{metric:>11}" for metric in table["largest class"]))
    for name, row in table.items():
        print(f"{name:14}" + "".join(f"{value:11.1%}" for value in row.values()))
    return table


def draw_scores(figure, table):
    """The scores of all as bars."""
    bars = figure.subplots()
    for i, (name, row) in enumerate(table.items()):
        x = np.arange(len(row)) + 0.27 * (i - 1)
        boxes = bars.bar(x, list(row.values()), 0.25, label=name)
        bars.bar_label(boxes, fmt="{:.0%}", fontsize=8)
    bars.set(title="Test set", xticks=range(len(row)), xticklabels=row, ylim=(0, 1))
    bars.yaxis.set_major_formatter("{x:.0%}")
    bars.legend(loc="upper center", ncols=3)
