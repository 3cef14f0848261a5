"""tg.io.Checkpoint: what a run needs to go on is kept, and what does not fit is refused."""

from types import SimpleNamespace

import numpy as np
import pytest

import tinygrad_like as tg
from tinygrad_like import nn

SETTINGS = {"width": 3, "lr": 0.1, "hidden": [4, 5]}


class Run:
    """A small training: its next loss depends on every part, and on the random generator."""

    def __init__(self, path, **settings):
        tg.seed(5)
        self.model = nn.Sequential(nn.Dense(2, 3), nn.Dropout(0.5), nn.Dense(3, 1))
        optimizer = tg.optim.Adam(self.model.parameters(), 0.1)
        schedule = tg.optim.CosineLR(optimizer, 20)
        data = np.random.default_rng(0).standard_normal((10, 2)).astype(np.float32)
        loader = tg.data.DataLoader(tg.data.Dataset(data), 4, shuffle=True)
        self.parts = {
            "model": self.model,
            "optimizer": optimizer,
            "schedule": schedule,
            "loader": loader,
        }
        self.checkpoint = tg.io.Checkpoint(path, SETTINGS | settings, **self.parts)

    def epoch(self):
        losses = []
        for (x,) in self.parts["loader"]:
            loss = (self.model(tg.Tensor(x)) ** 2).mean()
            self.model.zero_grad()
            loss.backward()
            self.parts["optimizer"].step()
            self.parts["schedule"].step()
            losses.append(loss.item())
        return losses


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.safetensors"


def test_a_run_goes_on_from_its_file_as_if_nothing_had_been(path):
    first = Run(path)
    first.epoch()
    first.checkpoint.save(losses=[1.5], epoch=1)
    expected = first.epoch()
    second = Run(path)
    tg.seed(99)
    assert second.checkpoint.load() == {"losses": [1.5], "epoch": 1}
    assert second.epoch() == expected


def test_what_was_loaded_is_saved_with_the_same_bytes(path):
    run = Run(path)
    run.epoch()
    run.checkpoint.save(epoch=1)
    content = path.read_bytes()
    path.with_name("other").write_bytes(content)
    again = Run(path)
    again.checkpoint.save(**again.checkpoint.load())
    assert path.read_bytes() == content


def test_the_file_is_a_state_like_any_other(path):
    run = Run(path)
    run.checkpoint.save(epoch=0)
    state = tg.io.load(path)
    assert set(state) == {*run.parts, "random", "settings", "epoch"}
    assert state["settings"] == SETTINGS
    nn.Sequential(nn.Dense(2, 3), nn.Dropout(), nn.Dense(3, 1)).load_state_dict(state["model"])


def test_the_age_counts_from_the_last_save_or_load(path, monkeypatch):
    clock = SimpleNamespace(now=7.0, monotonic=lambda: clock.now)
    monkeypatch.setattr(tg.io, "time", clock)
    run = Run(path)
    for touch in (run.checkpoint.save, run.checkpoint.load):
        clock.now += 5
        assert run.checkpoint.age == 5
        touch()
        assert run.checkpoint.age == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 4}, "is of a run with {'width': 3}, this one has {'width': 4}; give the same"),
        ({"hidden": [4]}, "is of a run with {'hidden': [4, 5]}, this one has {'hidden': [4]}"),
        ({"seed": 1}, "is of a run with {}, this one has {'seed': 1}; give the same settings, or"),
    ],
)
def test_the_file_of_a_run_with_other_settings_is_refused(path, change, message):
    Run(path).checkpoint.save()
    other = Run(path, **change)
    before = [p.numpy().copy() for p in other.model.parameters()]
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        other.checkpoint.load()
    assert str(caught.value).startswith(f"[Checkpoint] {path} {message}")
    for p, value in zip(other.model.parameters(), before, strict=True):
        np.testing.assert_array_equal(p.numpy(), value)


def test_a_file_of_something_else_is_refused(path):
    tg.io.save(path, {"model": {}, "settings": SETTINGS})
    with pytest.raises(tg.io.FileError) as caught:
        Run(path).checkpoint.load()
    assert str(caught.value) == (
        f"[Checkpoint] {path} is the file of something else: it lacks "
        "['loader', 'optimizer', 'random', 'schedule']; nothing was changed"
    )


def test_a_truncated_file_is_refused(path):
    run = Run(path)
    run.checkpoint.save()
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(tg.io.FileError, match="is truncated, altered or not a safetensors file"):
        run.checkpoint.load()


@pytest.mark.parametrize("name", ["model", "random", "settings"])
def test_progress_may_not_take_the_name_of_a_state(path, name):
    with pytest.raises(ValueError, match=rf"has the names of other states: \['{name}'\]"):
        Run(path).checkpoint.save(**{name: 1})
    assert not path.exists()


def test_settings_may_be_numpy_s_numbers(path):
    """And are then Python's, as the file gives them back."""
    settings = {"lr": np.float64(1e-3), "n": [np.int64(3), (np.bool_(True), {"a": np.float32(2)})]}
    run = Run(path, **settings, name=np.str_("run"), none=None)
    run.checkpoint.save(epoch=2)
    assert run.checkpoint.load() == {"epoch": 2}
    kept = tg.io.load(path)["settings"]
    assert kept["lr"] == 1e-3
    assert type(kept["lr"]) is float
    assert kept["n"] == [3, (True, {"a": 2})]


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (np.ones(2), r"settings\['a'\] is \(2,\)"),
        ([np.array(1.0)], r"settings\['a'\]\[0\] is \(\)"),
        ({"b": (1, tg.ones(2))}, r"settings\['a'\]\['b'\]\[1\] is \(2,\)"),
        (np.complex64(1), r"settings\['a'\] is a complex"),
        (len, r"settings\['a'\] is a builtin_function_or_method"),
    ],
)
def test_settings_that_a_file_cannot_give_back_are_refused(path, value, what):
    with pytest.raises(TypeError, match=rf"^\[Checkpoint\] {what}, expected a number, a bool"):
        Run(path, a=value)


class Late:
    """A part of the user's, whose load fails after all others."""

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        raise KeyboardInterrupt


def test_a_load_that_fails_leaves_a_running_loop_and_versions_alone(path):
    run = Run(path)
    run.checkpoint.save()
    parts = {**run.parts, "scaler": tg.optim.GradScaler(), "late": Late()}
    tg.io.save(path, tg.io.load(path) | {"scaler": parts["scaler"].state_dict(), "late": {}})
    checkpoint = tg.io.Checkpoint(path, SETTINGS, **parts)
    batches = iter(parts["loader"])
    next(batches)
    parts["scaler"].scale(run.model(np.ones((4, 2), np.float32)).sum()).backward()
    parts["scaler"].unscale(parts["optimizer"])
    versions = [p.version[0] for p in run.model.parameters()]
    with pytest.raises(KeyboardInterrupt):
        checkpoint.load()
    assert [p.version[0] for p in run.model.parameters()] == versions
    with pytest.raises(ValueError, match="unscaled already"):
        parts["scaler"].unscale(parts["optimizer"])
    next(batches)
    assert parts["loader"].state_dict()["batch"] == 2
    list(parts["loader"])  # the loop was still the newest: this one is the next epoch
    assert parts["loader"].epoch == 2


def test_a_part_with_a_load_of_its_own_is_loaded_by_it(path):
    class Model(nn.Dense):
        def load_state_dict(self, state, strict=True):
            calls.append(sorted(state))
            return super().load_state_dict(state, strict)

    calls = []
    checkpoint = tg.io.Checkpoint(path, {}, model=Model(2, 3))
    checkpoint.save()
    checkpoint.load()
    assert calls == [["bias", "weight"]]
