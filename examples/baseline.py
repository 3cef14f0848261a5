"""How good a classifier of words is: its scores, beside a bag of words and a constant guess."""

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, precision_recall_fscore_support
from sklearn.pipeline import make_pipeline


def scores(labels, predicted, classes):
    """Accuracy, and the mean over classes of precision, recall and F1 (0 where nothing counts)."""
    options = {"labels": range(classes), "average": "macro", "zero_division": 0}
    precision, recall, f1, _ = precision_recall_fscore_support(labels, predicted, **options)
    accuracy = accuracy_score(labels, predicted)
    return {"accuracy": accuracy, "precision": precision, "recall": recall, "F1": f1}


def bag_of_words(training, test):
    """What a logistic regression on the words of a piece, in no order, predicts for the test."""
    weights = TfidfVectorizer(analyzer=lambda words: words, sublinear_tf=True)
    baseline = make_pipeline(weights, LogisticRegression(C=10, max_iter=1000))
    baseline.fit(*zip(*training, strict=True))
    return baseline.predict([words for words, _ in test])


def compare(name, predicted, labels, parts, classes):
    """The scores of our model, of the baseline, and of a constant guess."""
    commonest = np.bincount([label for _, label in parts[0]]).argmax()
    guesses = {
        name: predicted,
        "bag of words": bag_of_words(*parts),
        "largest class": np.full_like(labels, commonest),
    }
    table = {name: scores(labels, guess, classes) for name, guess in guesses.items()}
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
