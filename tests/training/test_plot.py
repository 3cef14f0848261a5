"""The picture of a run, its panels, and `predict`."""

import sys

import numpy as np
import pytest
from needed import imported

import tinygrad_like as tg
from tinygrad_like import nn
from tinygrad_like.training import History, panels, plot, predict


@pytest.fixture
def run(tmp_path):
    run = tg.Run(tmp_path, model=nn.Dense(1, 1))
    for step in run.steps(200):
        run.log(loss=1 / step, lr=1e-3)
        if step % 20 == 0:
            run.log(validation_loss=1.5 / step, accuracy=1 - 1 / step)
    return run


@pytest.fixture
def figure():
    return imported("matplotlib.figure").Figure()


def test_the_losses_share_a_plot_and_each_other_metric_has_its_own(run, figure):
    plot.draw_curves(figure, run.history, run.best)
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "lr", "accuracy"]
    losses, _, accuracy = figure.axes
    assert losses.get_yscale() == "log"
    assert [t.get_text() for t in losses.get_legend().get_texts()] == ["loss", "validation loss"]
    assert losses.get_title() == "best validation loss 0.0075 at step 200"
    (points,) = accuracy.get_lines()
    assert points.get_xdata().tolist() == list(range(20, 201, 20))
    assert points.get_ydata().tolist() == [1 - 1 / step for step in range(20, 201, 20)]
    raw, mean, validation, star = losses.get_lines()
    assert raw.get_ydata().tolist() == run.history["loss"].values
    np.testing.assert_allclose(mean.get_ydata()[:1], np.mean([1, 1 / 2, 1 / 3, 1 / 4]))
    assert mean.get_xdata()[0] == 4
    assert len(validation.get_xdata()) == 10
    assert star.get_xdata() == [200]


def test_panels_stand_beside_the_curves(run, tmp_path):
    seen = []
    assert run.plot("report.png", seen.append, seen.append, size=(6, 3), widths=(2, 1, 1))
    first, second = seen
    assert first is not second
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")
    assert run.plot(tmp_path / "report.svg")
    assert b"<svg" in (tmp_path / "report.svg").read_bytes()


def test_an_empty_history_and_one_value_are_drawn(tmp_path):
    run = tg.Run(tmp_path, model=nn.Dense(1, 1))
    assert run.plot("empty.png")
    for _ in run.steps(1):
        run.log(loss=0.0, other=np.nan)
    assert run.plot("one.png")


def test_without_matplotlib_it_says_what_brings_it(run, monkeypatch, capsys):
    for name in [m for m in sys.modules if m.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    run.plot("report.png")
    assert "pip install 'tinygrad-like[examples]' brings it" in capsys.readouterr().out
    assert not (run.folder / "report.png").exists()
    assert run.finish("done") == 0


def test_a_picture_that_cannot_be_drawn_leaves_the_older_one(run, tmp_path):
    (tmp_path / "report.png").write_bytes(b"older")

    def fail(figure):
        raise KeyError("panel")

    with pytest.raises(KeyError):
        run.plot("report.png", fail)
    assert (tmp_path / "report.png").read_bytes() == b"older"


def test_a_confusion_matrix_has_its_counts_and_the_accuracy(figure):
    panels.confusion(figure, np.array([[1, 1, 0], [0, 1, 0], [1, 0, 2]]), ("cat", "dog", "cow"))
    (axes,) = figure.axes
    assert axes.get_title() == "Test accuracy 66.67%"
    assert sorted(text.get_text() for text in axes.texts) == ["1", "1", "1", "1", "2"]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["cat", "dog", "cow"]


def test_attention_maps_have_their_characters_beside_them(figure):
    maps = np.full((1, 2, 2, 3), 0.25)
    panels.attention(figure, maps, "ab", "a \n", [["one", "two"]])
    first, second = figure.axes
    assert (first.get_title(), second.get_title()) == ("one", "two")
    assert [text.get_text() for text in first.get_yticklabels()] == ["a", "b"]
    assert [text.get_text() for text in first.get_xticklabels()] == ["a", "␣", "↵"]
    assert first.images[0].get_array().tolist() == [[0.5] * 3] * 2


def test_a_history_goes_on_from_its_state():
    history = History()
    for step in range(1, 6):
        history.add("loss", step, 1 / step)
    history.add("accuracy", 5, 0.5)
    history.ends = [3]
    again = History()
    again.restore(history.state())
    assert again.rows() == history.rows()
    assert again.ends == [3]
    assert again["loss"].best("min") == 4
    assert again["loss"].since(3) == [1 / 4, 1 / 5]


def test_predict_has_the_outputs_in_evaluation_mode_and_leaves_the_modes():
    model = nn.Sequential(nn.Dropout(0.5), nn.Sequential(nn.Dropout(0.5)))
    model[1].eval()
    inputs = np.ones((7, 2), np.float32)
    np.testing.assert_array_equal(predict(model, inputs, 3), inputs)
    assert (model.training, model[0].training) == (True, True)
    assert not model[1].training
    assert not model[1][0].training
    with pytest.raises(ValueError, match="there are no inputs"):
        predict(model, inputs[:0])
    with pytest.raises(ValueError, match="x has 2 features"):
        predict(nn.Sequential(nn.Dropout(0.5), nn.Dense(3, 1)), inputs)
    assert model.training
