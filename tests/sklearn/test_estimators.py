"""tg.sklearn: Classifier and Regressor beside what their settings say."""

import copy
import pickle
import subprocess
import sys
import threading
from functools import partial

import numpy as np
import pytest
from needed import imported

import tinygrad_like as tg
from tinygrad_like import nn

clone = imported("sklearn.base").clone
NotFittedError = imported("sklearn.exceptions").NotFittedError
selection = imported("sklearn.model_selection")
make_pipeline = imported("sklearn.pipeline").make_pipeline
StandardScaler = imported("sklearn.preprocessing").StandardScaler

RNG = np.random.default_rng(0)
X = RNG.normal(size=(48, 5))
SCORES = np.c_[X[:, 0], X[:, 1] - 0.3, X[:, 2] * X[:, 3]]
Y = np.array(["ant", "bee", "cat"])[SCORES.argmax(axis=1)]


def classifier(**settings):
    return tg.sklearn.Classifier(**{"epochs": 5, "lr": 1e-2, "random_state": 0, **settings})


def regressor(**settings):
    return tg.sklearn.Regressor(**{"epochs": 5, "lr": 1e-2, "random_state": 0, **settings})


def weights_of(model):
    return {path: p.numpy() for path, p in model.module_.state_dict().items()}


def assert_alike(one, other, **tolerance):
    one, other = weights_of(one), weights_of(other)
    assert one.keys() == other.keys()
    for path in one:
        np.testing.assert_allclose(one[path], other[path], err_msg=path, **tolerance)


def test_without_scikit_learn_the_error_names_the_extra():
    code = (
        "import sys; sys.modules['sklearn'] = None; import tinygrad_like as tg; tg.stats\n"
        "try: tg.sklearn.Classifier\n"
        "except ImportError as error: print(error)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'tinygrad-like[sklearn]'" in said.stdout


# Classes and numbers


def test_a_classifier_learns_and_its_outputs_agree():
    model = classifier(epochs=60).fit(X, Y)
    assert model.score(X, Y) > 0.95
    assert model.classes_.tolist() == ["ant", "bee", "cat"]
    scores, p = model.decision_function(X), model.predict_proba(X)
    assert scores.shape == p.shape == (48, 3)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    np.testing.assert_allclose(np.log(p), model.predict_log_proba(X))
    assert (model.predict(X) == model.classes_[p.argmax(axis=1)]).all()


def test_two_classes_have_one_decision():
    model = classifier().fit(X, X[:, 0] > 0)
    p, decision = model.predict_proba(X), model.decision_function(X)
    assert decision.shape == (48,)
    np.testing.assert_allclose(np.log(p[:, 1] / p[:, 0]), decision)
    assert (model.predict(X) == (decision > 0)).all()


@pytest.mark.parametrize("columns", [None, 1, 3])
def test_a_regressor_predicts_the_shape_that_it_was_given(columns):
    y = SCORES[:, 0] if columns is None else SCORES[:, :columns]
    model = regressor(epochs=60).fit(X, y)
    assert model.predict(X).shape == y.shape
    assert model.score(X, y) > 0.8
    with pytest.raises(ValueError, match="in earlier calls a sample had"):
        model.partial_fit(X, np.ones((48, 2)))


# Repetition


@pytest.mark.parametrize("make", [classifier, regressor])
def test_random_state_alone_decides_what_is_learned(make):
    y = Y if make is classifier else SCORES
    settings = {"module": tg.sklearn.MLP((8,), dropout=0.5), "batch_size": 16}
    tg.seed(1)
    state = tg.get_rng_state()
    first = make(**settings).fit(X, y)
    assert tg.get_rng_state() == state, "the common stream moved"
    tg.randn(3)
    assert_alike(first, make(**settings).fit(X, y), rtol=0)
    other = make(**settings, random_state=1).fit(X, y)
    assert not np.array_equal(weights_of(first)["1.weight"], weights_of(other)["1.weight"])


def test_threads_do_not_disturb_one_another():
    settings = {"module": tg.sklearn.MLP((8,), dropout=0.5), "batch_size": 8}
    models = [classifier(**settings, random_state=k) for k in range(3)]
    threads = [threading.Thread(target=model.fit, args=(X, Y)) for model in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for model in models:
        assert_alike(model, clone(model).fit(X, Y), rtol=0)


def test_a_stream_of_a_thread_begins_at_its_seed_and_leaves_the_common_one():
    from tinygrad_like.generator import GENERATOR

    tg.seed(3)
    expected = tg.rand(4).tolist()
    tg.seed(5)
    before = tg.get_rng_state()
    with GENERATOR.own(3):
        assert tg.rand(4).tolist() == expected
        with GENERATOR.own(3):
            assert tg.rand(4).tolist() == expected
        assert tg.rand(4).tolist() != expected
    assert tg.get_rng_state() == before
    twin = pickle.loads(pickle.dumps(GENERATOR))
    assert twin.state() == before
    twin.reserve(2)
    assert GENERATOR.state() == copy.deepcopy(GENERATOR).state() == before


# Weights


def test_weights_of_classes_are_weights_of_samples():
    weights = {"ant": 3.0, "bee": 0.5, "cat": 0.0}
    each = np.array([weights[y] for y in Y])
    by_class = classifier(class_weight=weights).fit(X, Y)
    assert_alike(by_class, classifier().fit(X, Y, each), rtol=1e-9)
    assert_alike(by_class, classifier().fit(X, Y, 7 * each), rtol=1e-9)
    assert_alike(by_class, classifier().fit(X, Y, 1e307 * each), rtol=1e-9)
    assert_alike(by_class, classifier().fit(X, Y, 1e-300 * each), rtol=1e-9)
    kept = each > 0
    few = classifier().partial_fit(X[kept], Y[kept], np.unique(Y), each[kept])
    assert_alike(few, classifier(class_weight=weights).partial_fit(X, Y, np.unique(Y)), rtol=1e-9)


def test_a_part_without_a_class_that_has_a_weight_is_trained():
    few, classes = Y != "cat", np.unique(Y)
    part = classifier(class_weight={"cat": 2.0}).partial_fit(X[few], Y[few], classes)
    assert_alike(part, classifier().partial_fit(X[few], Y[few], classes), rtol=1e-9)
    weights = dict.fromkeys(Y, 2.0)  # as in a fold of a validation
    assert_alike(
        classifier(class_weight=weights).fit(X[few], Y[few]), classifier().fit(X[few], Y[few])
    )


def test_a_weight_is_as_good_as_copies():
    counts = np.arange(48) % 2
    model, copies = regressor().fit(X, SCORES, 2 * counts), regressor()
    assert_alike(model, copies.fit(X.repeat(counts, axis=0), SCORES.repeat(counts, axis=0)))
    counts[3] = 3
    model.fit(X, SCORES, counts)
    copies.fit(X.repeat(counts, axis=0), SCORES.repeat(counts, axis=0))
    assert_alike(model, copies, rtol=1e-6)
    assert model.history_["loss"] == pytest.approx(copies.history_["loss"])


# Modules


def test_a_module_is_copied_and_trained_on():
    module = nn.Dense(5, 3)
    before = {path: p.numpy().copy() for path, p in module.state_dict().items()}
    model = classifier(module=module, optimizer=tg.optim.SGD, lr=1e-30).fit(X, Y)
    assert model.module is module
    assert model.module_ is not module
    for path, values in before.items():
        np.testing.assert_array_equal(module.state_dict()[path].numpy(), values)
        np.testing.assert_allclose(weights_of(model)[path], values)  # where training began
    assert model.module_.weight.dtype == np.float64
    assert module.weight.dtype == np.float32


def test_a_factory_is_told_the_sizes():
    told = []

    def make(*sizes):
        told.append(sizes)
        return nn.Sequential(nn.Flatten(), nn.Dense(*sizes))

    classifier(module=make).fit(X, Y)
    classifier(module=make).fit(X.reshape(12, 5, 4), Y[:12])
    regressor(module=make).fit(X, SCORES[:, 0])
    regressor(module=nn.Dense).fit(X, SCORES)
    assert told == [(5, 3), (20, 3), (5, 1)]


def test_pictures_and_ids_are_inputs():
    images = RNG.normal(size=(12, 2, 6, 6)).astype(np.float32)
    net = nn.Sequential(nn.Conv2D(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Dense(48, 2))
    model = classifier(module=net).fit(images, np.arange(12) % 2)
    assert model.module_[0].weight.dtype == np.float32
    assert model.predict_proba(images).dtype == np.float32
    with pytest.raises(ValueError, match=r"samples of shape \(2, 6, 5\), the model was trained on"):
        model.predict(images[..., :5])
    ids = RNG.integers(0, 9, (12, 4))
    table = nn.Sequential(nn.Embedding(9, 3), nn.Flatten(), nn.Dense(12, 1))
    assert regressor(module=table, dtype="int64").fit(ids, ids.sum(axis=1)).predict(ids).ndim == 1


@pytest.mark.parametrize(("dtype", "expected"), [(None, "float64"), ("float32", "float32")])
def test_the_dtype_of_the_data_is_that_of_the_module(dtype, expected):
    model = regressor(dtype=dtype).fit(X, SCORES)
    assert {p.dtype.name for p in model.module_.parameters()} == {expected}
    assert model.predict(X.astype(np.float32)).dtype == expected
    assert model.partial_fit(X.astype(np.float32), SCORES).module_[1].weight.dtype == expected


# The loop


def test_parts_of_the_data_are_trained_as_the_whole():
    whole, parts = classifier(epochs=3).fit(X, Y), classifier()
    for k in range(3):
        parts.partial_fit(X, Y, np.unique(Y) if k == 0 else None)
    assert_alike(whole, parts, rtol=1e-6)
    assert parts.history_["loss"] == pytest.approx(whole.history_["loss"])


def test_each_part_has_another_order_and_other_dropout():
    settings = {"module": tg.sklearn.MLP((8,), dropout=0.5), "batch_size": 16}
    drawn = []

    def note(outputs, targets, reduction):
        drawn.append((targets.numpy().tolist(), outputs.numpy().tolist()))
        return tg.losses.cross_entropy(outputs, targets, reduction=reduction)

    model = classifier(**settings, loss=note, lr=1e-30, optimizer=tg.optim.SGD)
    model.partial_fit(X, Y, np.unique(Y)).partial_fit(X, Y)
    assert drawn[0][0] != drawn[3][0]
    ones, same = np.ones((16, 5)), np.array(["ant"] * 16)
    drawn.clear()
    model.partial_fit(ones, same).partial_fit(ones, same)
    assert drawn[0][1] != drawn[1][1]


def test_training_ends_when_patience_does_and_keeps_the_best_weights():
    noise = RNG.permutation(Y)
    settings = {"epochs": 200, "lr": 3e-2, "validation_fraction": 0.25}
    model = classifier(**settings, patience=4).fit(X, noise)
    losses = model.history_["validation_loss"]
    best = int(np.argmin(losses))
    assert len(losses) == best + 1 + 4 < 200
    parts = selection.train_test_split(
        X,
        np.searchsorted(model.classes_, noise),
        test_size=0.25,
        random_state=model._seed,
        stratify=noise,
    )
    p = model.predict_log_proba(parts[1])
    assert -p[np.arange(12), parts[3]].mean() == pytest.approx(min(losses))
    longer = classifier(**{**settings, "epochs": 20}).fit(X, noise)
    assert len(longer.history_["loss"]) == 20
    assert longer.history_["validation_loss"][: len(losses)] == losses


def test_a_schedule_is_told_the_number_of_steps():
    model = regressor(schedule=tg.optim.CosineLR, batch_size=16, epochs=4).fit(X, SCORES)
    assert model.optimizer_.lr == pytest.approx(0, abs=1e-12)
    schedule = partial(tg.optim.CosineLR, min_lr=1e-4)
    assert regressor(schedule=schedule).fit(X, SCORES).optimizer_.lr == pytest.approx(1e-4)


def test_progress_is_told(capsys):
    regressor(verbose=True, epochs=2, validation_fraction=0.1).fit(X, SCORES)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("epoch 2/2: loss ")
    assert "validation_loss" in lines[1]


def test_a_module_is_trained_in_its_mode_and_applied_in_the_other():
    modes = []

    class Noted(nn.Dense):
        def forward(self, x):
            modes.append(self.training)
            return super().forward(x)

    model = classifier(module=Noted, epochs=1, validation_fraction=0.2).fit(X, Y)
    model.partial_fit(X, Y).predict(X)
    assert modes == [True, False, True, False]
    assert not model.module_.training  # so that threads that predict do not disturb one another


# Within scikit-learn


def test_search_validation_and_pipelines():
    pipeline = make_pipeline(StandardScaler(), classifier(module=tg.sklearn.MLP()))
    assert selection.cross_val_score(pipeline, X, Y, cv=2).shape == (2,)
    grid = {"classifier__module__hidden": [(4,), (8, 8)], "classifier__lr": [1e-3, 1e-2]}
    search = selection.GridSearchCV(pipeline, grid, cv=2).fit(X, Y)
    assert not np.isnan(search.cv_results_["mean_test_score"]).any()
    hidden = search.best_params_["classifier__module__hidden"]
    assert search.best_estimator_[1].module_[1].weight.shape == (5, hidden[0])


@pytest.mark.parametrize(
    "twin", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["deepcopy", "pickle"]
)
def test_a_copy_of_a_trained_estimator_goes_on_by_itself(twin):
    model = classifier(module=tg.sklearn.MLP((8,), dropout=0.5), batch_size=16).fit(X, Y)
    other = twin(model)
    p = model.predict_proba(X)
    np.testing.assert_array_equal(other.predict_proba(X), p)
    other.partial_fit(X, Y)
    np.testing.assert_array_equal(model.predict_proba(X), p)
    assert_alike(model.partial_fit(X, Y), other, rtol=0)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"epochs": 0}, ValueError, "epochs is 0, expected a positive integer"),
        ({"batch_size": 1.5}, TypeError, "batch_size is 1.5"),
        ({"patience": 3}, ValueError, "give a validation_fraction"),
        ({"validation_fraction": 0.0}, ValueError, "validation_fraction is 0.0, expected above 0"),
        ({"validation_fraction": 1.0}, ValueError, "validation_fraction is 1.0"),
        ({"dtype": "float16"}, ValueError, "dtype is 'float16', expected 'float32'"),
        ({"loss": "mse"}, TypeError, "loss is 'mse', expected a function"),
        ({"loss": lambda o, t, reduction: o.sum()}, ValueError, "expected a loss of each of them"),
        ({"loss": lambda o, t, reduction: 3.0}, ValueError, "returned a float for 48 samples"),
        ({"schedule": 3}, TypeError, "schedule is 3, expected a function"),
        ({"optimizer": lambda p, lr: None}, TypeError, "returned a NoneType, expected an optim"),
        ({"class_weight": "even"}, ValueError, "class_weight is 'even', expected a dict"),
        ({"class_weight": [1, 2, 3]}, ValueError, r"class_weight is \[1, 2, 3\], expected a dict"),
        ({"class_weight": {"ant": "x"}}, ValueError, "expected finite numbers of at least 0"),
        ({"class_weight": {"dog": 2}}, ValueError, r"has \['dog'\], which are not among"),
        ({"validation_fraction": 0.01}, ValueError, "a validation_fraction of 0.01 of 48 samples"),
        ({"module": 3}, TypeError, "got a int as module, expected a Module"),
        ({"module": lambda n, m: None}, TypeError, "got a NoneType as module"),
        ({"module": nn.Dense(5, 4)}, ValueError, r"returned shape \(48, 4\), expected \(N, 3\)"),
        ({"module": nn.RNN}, ValueError, r"the module returned .*, expected \(N, 3\)"),
        ({"module": tg.sklearn.MLP(8)}, TypeError, "hidden is 8, expected integers"),
        ({"module": tg.sklearn.MLP((0,))}, ValueError, "a width in hidden is 0"),
        ({"device": "tpu"}, tg.DeviceError, "tpu"),
        ({"lr": -1.0}, ValueError, "lr is -1.0"),
        ({"verbose": "no"}, ValueError, "verbose is 'no', expected True or False"),
    ],
)
def test_a_setting_that_cannot_be_is_named(settings, error, message):
    with pytest.raises(error, match=message):
        classifier(**settings).fit(X, Y)


def test_a_training_that_fails_leaves_no_module_of_other_classes():
    model = classifier(validation_fraction=0.2).fit(X, Y)
    with pytest.raises(ValueError, match=r"cannot be set aside: .*\['dog'\]"):
        model.fit(X, ["dog", *np.where(Y[1:] == "cat", "cow", Y[1:])])
    with pytest.raises(NotFittedError):
        model.predict(X)


def test_data_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="there is one class only"):
        classifier().fit(X, ["ant"] * 48)
    with pytest.raises(ValueError, match="all samples have the weight 0"):
        classifier(class_weight=dict.fromkeys(Y, 0.0)).fit(X, Y)
    for weight in (-1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="expected finite numbers of at least 0"):
            classifier(class_weight=dict.fromkeys(Y, 1.0) | {"bee": weight}).fit(X, Y)
    with pytest.raises(TypeError, match="X is a masked array"):
        regressor().fit(np.ma.masked_greater(X, 1), SCORES)
    with pytest.raises(ValueError, match="Negative values"):
        regressor().fit(X, SCORES, -np.ones(48))
    with pytest.raises(ValueError, match="needs the classes"):
        classifier().partial_fit(X, Y)
    with pytest.raises(ValueError, match=r"y has classes \['cat'\] that are not among"):
        classifier().partial_fit(X, Y, ["ant", "bee"])
    with pytest.raises(ValueError, match="in earlier calls they were"):
        classifier().fit(X, Y).partial_fit(X, Y, classes=["ant", "bee"])
    with pytest.raises(ValueError, match="needs all data at once"):
        classifier(class_weight="balanced").partial_fit(X, Y, np.unique(Y))
    told = pytest.raises(FloatingPointError, match="lower the learning rate lr, or scale the data")
    with told, np.errstate(all="ignore"):
        regressor(lr=1e200, optimizer=tg.optim.SGD).fit(X, SCORES)
