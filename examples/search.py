"""Search the settings of a small CNN with Optuna, and stop trials early that fall behind.

    python examples/search.py                 # 30 trials on 1,797 digits, a minute or two
    python examples/search.py --trials 100

Optuna proposes the width, the dropout, the learning rate and the batch size, by what earlier trials
came to (TPE). After each epoch a trial reports its accuracy on digits that were set aside; one that
is worse than half of the earlier trials were at this epoch is pruned. The best settings are then
trained on all of the training set, and measured once on the test set: digits of other writers,
which the search never saw. It draws search.png into `--out`, and needs
pip install 'tinygrad-like[search]'.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import optuna
from sklearn.model_selection import train_test_split

import tinygrad_like as tg
from tinygrad_like import nn
from tinygrad_like.training import at_least, run_program


def cnn(width, dropout):
    """Two convolutions, each pooled, for images of 8 x 8."""
    return nn.Sequential(
        *(nn.Conv2D(1, width, 3, padding=1), nn.ReLU(), nn.MaxPool2D(2)),
        *(nn.Conv2D(width, 2 * width, 3, padding=1), nn.ReLU(), nn.MaxPool2D(2)),
        *(nn.Flatten(), nn.Dropout(dropout), nn.Dense(8 * width, 10)),
    )


def proposed(trial, seed):
    """An untrained classifier with the settings that a trial proposes."""
    width = trial.suggest_int("width", 4, 32, log=True)
    dropout = trial.suggest_float("dropout", 0.0, 0.6)
    return tg.sklearn.Classifier(
        lambda *sizes: cnn(width, dropout),
        lr=trial.suggest_float("lr", 1e-4, 1e-1, log=True),
        batch_size=trial.suggest_categorical("batch_size", [16, 32, 64, 128]),
        random_state=seed,
    )


def objective(trial, parts, epochs, seed):
    """The accuracy on the digits that were set aside, after each epoch and in the end."""
    images, held_out_images, labels, held_out_labels = parts
    model = proposed(trial, seed)
    for epoch in range(epochs):
        try:
            model.partial_fit(images, labels, classes=range(10))
        except FloatingPointError as error:  # too large a learning rate ends this trial alone
            raise optuna.TrialPruned from error
        accuracy = model.score(held_out_images, held_out_labels)
        trial.report(accuracy, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned
    return accuracy


def draw(study, path):
    """The accuracy of each trial by epoch, and what came of each learning rate and width."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    curves, settings = figure.subplots(1, 2)
    complete = optuna.trial.TrialState.COMPLETE
    for trial in study.trials:
        values = trial.intermediate_values
        color = "tab:blue" if trial.state == complete else "0.75"
        color = "tab:red" if trial.number == study.best_trial.number else color
        curves.plot([1 + epoch for epoch in values], values.values(), color=color, linewidth=1)
    pruned = sum(trial.state != complete for trial in study.trials)
    title = f"{len(study.trials)} trials; grey: {pruned} pruned; red: the best"
    curves.set(xlabel="epoch", ylabel="accuracy on digits set aside", title=title)
    known = [trial for trial in study.trials if trial.intermediate_values]
    last = [max(trial.intermediate_values.values()) for trial in known]
    rates, widths = ([trial.params[name] for trial in known] for name in ("lr", "width"))
    dots = settings.scatter(rates, widths, c=last, cmap="viridis", vmin=np.quantile(last, 0.2))
    settings.set(xscale="log", yscale="log", xlabel="learning rate", ylabel="width")
    figure.colorbar(dots, label="accuracy")
    figure.savefig(path, dpi=110)


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=at_least(1), default=30)
    parser.add_argument("--epochs", type=at_least(1), default=15)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/search"))
    args = parser.parse_args(arguments)
    args.out.mkdir(parents=True, exist_ok=True)

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    train, test = tg.data.digits()
    parts = train_test_split(*train.arrays, test_size=0.25, random_state=args.seed)
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=args.seed),
        pruner=optuna.pruners.MedianPruner(n_warmup_steps=2),
    )
    study.optimize(
        lambda trial: objective(trial, parts, args.epochs, args.seed),
        args.trials,
        show_progress_bar=sys.stderr.isatty(),
    )
    if all(trial.state != optuna.trial.TrialState.COMPLETE for trial in study.trials):
        print("no trial came to its end: every learning rate was too large")
        return 1
    draw(study, args.out / "search.png")

    best = proposed(study.best_trial, args.seed).set_params(epochs=args.epochs).fit(*train.arrays)
    print(f"best settings: {study.best_params}")
    print(
        f"accuracy on digits set aside {study.best_value:.2%}, test {best.score(*test.arrays):.2%}"
    )
    return 0


if __name__ == "__main__":
    run_program(main)
