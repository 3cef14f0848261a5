"""tg.sklearn: scikit-learn's own checks, the backends of joblib, and other devices."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
from needed import imported, needs_emulator

import tinygrad_like as tg
from tinygrad_like import backend

selection = imported("sklearn.model_selection")
joblib = imported("joblib")  # which scikit-learn brings

pytestmark = pytest.mark.long

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
Y = (X[:, 0] * X[:, 1] > 0).astype(int)
SETTINGS = {"module": tg.sklearn.MLP((8,), dropout=0.2), "batch_size": 16, "lr": 1e-2}


def test_all_checks_of_scikit_learn_pass():
    """A check that is skipped says why, and the counts are printed."""
    command = [sys.executable, "-W", "error", "-m", "tinygrad_like.sklearn"]
    environment = {**os.environ, "SCIPY_ARRAY_API": "1"}
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    print(result.stdout)
    assert result.returncode == 0, result.stdout + result.stderr
    counts = re.findall(r"(\d+) of (\d+) checks passed", result.stdout)
    skipped = result.stdout.count(" skipped: ")
    assert [int(n) > 50 for n, _ in counts] == [True, True]
    assert sum(int(all_) - int(passed) for passed, all_ in counts) == skipped


def probabilities():
    """What a cross validation with two jobs predicts."""
    model = tg.sklearn.Classifier(**SETTINGS, epochs=10, random_state=0)
    return selection.cross_val_predict(model, X, Y, cv=4, n_jobs=2, method="predict_proba")


def test_each_backend_of_joblib_gives_the_same():
    with joblib.parallel_config("sequential"):
        expected = probabilities()
    for name in ("threading", "loky"):
        with joblib.parallel_config(name):
            np.testing.assert_allclose(probabilities(), expected, rtol=1e-9, err_msg=name)


def test_the_workers_of_joblib_share_the_cores():
    with joblib.parallel_config("loky", n_jobs=2):
        counts = joblib.Parallel()(joblib.delayed(backend.num_threads)() for _ in range(2))
    assert counts == [max(1, joblib.cpu_count() // 2)] * 2


def test_a_search_runs_on_a_cluster_of_dask():
    distributed = imported("distributed")
    with joblib.parallel_config("sequential"):
        expected = probabilities()
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    model = tg.sklearn.Classifier(**SETTINGS, epochs=3, random_state=0)
    search = selection.GridSearchCV(model, {"module__hidden": [(4,), (8, 8)]}, cv=2, n_jobs=2)
    with (
        distributed.LocalCluster(**options) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config("dask"),
    ):
        np.testing.assert_allclose(probabilities(), expected, rtol=1e-9)
        search.fit(X, Y)
    assert search.predict(X).shape == (60,)


@pytest.mark.parametrize("compress", [0, 3])
def test_joblib_keeps_a_trained_estimator(compress, tmp_path):
    model = tg.sklearn.Classifier(**SETTINGS, epochs=3, random_state=0).fit(X, Y)
    joblib.dump(model, tmp_path / "model.joblib", compress=compress)
    twin = joblib.load(tmp_path / "model.joblib")
    np.testing.assert_array_equal(twin.predict_proba(X), model.predict_proba(X))
    twin.partial_fit(X, Y)
    model.partial_fit(X, Y)
    np.testing.assert_array_equal(twin.predict_proba(X), model.predict_proba(X))


@needs_emulator
def test_another_device_trains_to_the_same():
    settings = {"epochs": 2, "dtype": "float32", "validation_fraction": 0.2, "random_state": 0}
    ours = tg.sklearn.Regressor(**settings, device="cuda-emulator").fit(X, Y)
    assert ours.module_.parameters()[0].device == "cuda-emulator"
    expected = tg.sklearn.Regressor(**settings).fit(X, Y)
    np.testing.assert_allclose(ours.predict(X), expected.predict(X), rtol=1e-4, atol=1e-5)
    assert ours.history_["validation_loss"] == pytest.approx(expected.history_["validation_loss"])
