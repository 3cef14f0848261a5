"""Choose the settings of a pipeline by cross validation, on this machine's cores or on a cluster.

    python examples/cross_validate.py                       # 24 trainings, in processes
    python examples/cross_validate.py --cluster local       # the same on Dask, on this machine
    python examples/cross_validate.py --cluster tcp://host:8786     # and on its scheduler there

The pipeline scales the pixels of the digits, reduces them to principal components, and trains dense
layers; GridSearchCV tries each combination of settings on each fold, wherever joblib sends it. The
result is the same everywhere. It draws confusion.png into `--out`. Dask needs
pip install 'tinygrad-like[search]'.
"""

import argparse
from contextlib import ExitStack
from pathlib import Path

import joblib
from sklearn.decomposition import PCA
from sklearn.metrics import classification_report, confusion_matrix
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

import tinygrad_like as tg
from tinygrad_like.training import at_least, panels, run_program

GRID = {
    "reduce__n_components": [16, 32],
    "classify__module__hidden": [(32,), (64, 32)],
    "classify__lr": [1e-3, 1e-2],
}


def search(epochs, folds, seed):
    """The grid search over a pipeline, before it is fitted."""
    classifier = tg.sklearn.Classifier(
        tg.sklearn.MLP(dropout=0.1), epochs=epochs, dtype="float32", random_state=seed
    )
    steps = (
        ("scale", StandardScaler()),
        ("reduce", PCA(random_state=seed)),
        ("classify", classifier),
    )
    return GridSearchCV(Pipeline(steps), GRID, cv=folds, n_jobs=-1)


def backend(cluster, stack):
    """Where joblib sends its work within `stack`: processes, or the workers of a cluster."""
    if cluster is None:
        return joblib.parallel_config("loky")
    from distributed import Client, LocalCluster

    if cluster == "local":
        cluster = stack.enter_context(LocalCluster(threads_per_worker=1, dashboard_address=None))
    stack.enter_context(Client(cluster))
    return joblib.parallel_config("dask")


def draw(counts, path):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5, 5), layout="constrained")
    panels.confusion(figure, counts, range(10))
    figure.savefig(path, dpi=110)


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cluster", help="local, or the address of a scheduler of Dask")
    parser.add_argument("--epochs", type=at_least(1), default=30)
    parser.add_argument("--folds", type=at_least(2), default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/cross_validate"))
    args = parser.parse_args(arguments)
    args.out.mkdir(parents=True, exist_ok=True)

    train, test = tg.data.digits()
    (images, labels), (test_images, test_labels) = (
        (part.arrays[0].reshape(len(part), 64), part.arrays[1]) for part in (train, test)
    )
    with ExitStack() as stack, backend(args.cluster, stack):
        found = search(args.epochs, args.folds, args.seed).fit(images, labels)
    results = found.cv_results_
    for k in results["rank_test_score"].argsort():
        mean, deviation = results["mean_test_score"][k], results["std_test_score"][k]
        print(f"{mean:.2%} +- {deviation:.2%}  {results['params'][k]}")
    predicted = found.predict(test_images)
    print(classification_report(test_labels, predicted, digits=3))
    draw(confusion_matrix(test_labels, predicted), args.out / "confusion.png")
    return 0


if __name__ == "__main__":
    run_program(main)
