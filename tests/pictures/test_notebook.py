"""What a notebook shows of Tensors, Modules and Runs: true, short, escaped, and never an error."""

import base64
import io
import re
from html import unescape

import numpy as np
import pytest
from needed import imported, needs_emulator

import tinygrad_like as tg
from tinygrad_like import nn
from tinygrad_like.pictures import curves, png
from tinygrad_like.training import Series


def cells(html):
    """The rows of all tables."""
    rows = re.findall(r"<tr>(.*?)</tr>", html)
    return [[unescape(cell) for cell in re.findall(r"<td [^>]*>(.*?)</td>", row)] for row in rows]


def test_a_small_tensor_is_shown_whole():
    x = tg.Tensor([[1.0, -2.5], [np.pi * 1e6, np.nan]], requires_grad=True)
    html = x._repr_html_()
    assert cells(html) == [["1", "-2.5"], ["3.142e+06", "nan"]]
    assert "(2, 2) float32, cpu, 16 B, requires_grad" in html
    assert "from -2.5 to 3.142e+06, mean 1.047e+06, 1 NaN" in html
    assert "op sin" in tg.sin(x)._repr_html_()


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        (7, [["7"]]),
        (np.array([True, False]), [["True", "False"]]),
        (np.array([1 + 2j]), [["1+2j"]]),
        (np.float16([0.1, 65504]), [["0.1", "6.55e+04"]]),
        (np.array([2**63 - 1]), [["9223372036854775807"]]),
        (np.arange(3).reshape(1, 1, 3), [["0", "1", "2"]]),
        (np.zeros((2, 0)), []),
        (np.zeros((0,)), []),
    ],
)
def test_any_dtype_and_shape_is_shown(values, shown):
    assert cells(tg.Tensor(values)._repr_html_()) == shown


def test_a_large_tensor_is_shown_at_its_edges():
    values = np.arange(4 * 5 * 100 * 13).reshape(4, 5, 100, 13)
    rows = cells(tg.Tensor(values)._repr_html_())
    assert len(rows) == 2 * 9  # two matrices, with four rows at each end
    left, right = values[0, 1, :, :4].astype(str), values[0, 1, :, -4:].astype(str)
    for row, i in zip(rows[9:], (0, 1, 2, 3, None, -4, -3, -2, -1), strict=True):
        assert row == (["…"] * 9 if i is None else [*left[i], "…", *right[i]])
    assert "… and 18 more" in tg.Tensor(values)._repr_html_()
    assert len(tg.zeros((3000, 3000))._repr_html_()) < 30_000
    assert cells(tg.arange(20)._repr_html_())[0] == "0 1 2 3 … 16 17 18 19".split()


@needs_emulator
def test_of_a_tensor_on_another_device_only_what_is_shown_is_copied(monkeypatch):
    from tinygrad_like import backend

    x = tg.arange(90_000, device="cuda-emulator").reshape(300, 300)
    copied, to_host = [], backend.devices.Backend.to_host

    def counting(self, array):
        copied.append(array.size)
        return to_host(self, array)

    monkeypatch.setattr(backend.devices.Backend, "to_host", counting)
    html = x._repr_html_()
    assert cells(html)[-1][-1] == "89999"
    assert sorted(copied) == [64, 100 * 100]
    assert "mean" not in html


def test_a_tensor_inside_vmap_is_shown():
    seen = []
    tg.vmap(lambda x: (seen.append(x._repr_html_()), x)[1])(tg.ones((3, 2)))
    assert "Tensor" in seen[0]


def pixels(html):
    """The picture in the HTML of a matrix."""
    data = base64.b64decode(re.search(r"base64,([^\"]*)", html)[1])
    return np.asarray(imported("PIL.Image").open(io.BytesIO(data)))


def test_a_matrix_has_a_small_picture():
    values = np.linspace(0, 1, 15 * 20).reshape(15, 20)
    shown = pixels(tg.Tensor(values)._repr_html_())
    np.testing.assert_array_equal(shown, np.rint(values * 255)[..., None].repeat(3, -1))
    signed = np.full((12, 12), -1.0)
    signed[0, :4] = 2, 0, np.nan, np.inf
    shown = pixels(tg.Tensor(signed)._repr_html_())
    assert shown[0, :5].tolist() == [
        *([255, 0, 0], [255, 255, 255], list(png.NAN), [255, 0, 0], [128, 128, 255])
    ]
    assert pixels(tg.zeros((1000, 130))._repr_html_()).shape == (125, 65, 3)
    huge = np.full((12, 12), 1e308)
    huge[0, 0] = 0
    assert pixels(tg.Tensor(huge)._repr_html_())[1, 1, 0] == 255
    for none in (tg.zeros((3, 30)), tg.zeros((12, 12, 12)), tg.Tensor(np.ones((12, 12)) * 1j)):
        assert "<img" not in none._repr_html_()


def test_a_module_is_a_tree_of_what_it_holds():
    shared = nn.Dense(2, 3)
    model = nn.Sequential(shared, nn.BatchNorm(3), nn.Sequential(nn.Tanh(), nn.Dense(3, 2)), shared)
    model.freeze("2")
    html = unescape(re.sub(r"<[^>]*>", "\n", model._repr_html_()))
    shown = [line.strip() for line in html.splitlines() if line.strip()]
    assert shown == [
        *("Sequential()", "23 parameters"),
        *("0: Dense(n_in=2, n_out=3)", "9 parameters"),
        *("weight (2, 3) float32", "bias (3,) float32"),
        *(repr(model[1]).replace("BatchNorm", "1: BatchNorm"), "6 parameters"),
        *("weight (3,) float32", "bias (3,) float32"),
        *("running_mean (3,) float32, buffer", "running_var (3,) float32, buffer"),
        *("2: Sequential()", "8 parameters", "0: Tanh()"),
        *("1: Dense(n_in=3, n_out=2)", "8 parameters"),
        *("weight (3, 2) float32, frozen", "bias (2,) float32, frozen"),
        "3: Dense(n_in=2, n_out=3) (shared, see above)",
    ]
    assert model._repr_html_().count("<details open") == 4
    assert model._repr_html_().count("<details") == 5


def test_a_module_that_holds_itself_or_very_many_is_shown():
    model = nn.Sequential(nn.Dense(1, 1))
    model.self = model
    assert "(shared, see above)" in model._repr_html_()
    many = nn.Sequential(*(nn.ReLU() for _ in range(1500)))
    assert many._repr_html_().count("ReLU() …") == 501


class Broken(nn.Module):
    """It cannot even be printed."""

    def num_parameters(self):
        raise ZeroDivisionError

    def __repr__(self):
        raise ZeroDivisionError


def test_what_cannot_be_shown_is_named_all_the_same():
    assert Broken()._repr_html_() == "<pre>&lt;Broken&gt;</pre>"
    graph = tg.ones(2, requires_grad=True).sum().graph()
    graph.items.boxes[0].title = 3
    assert graph._repr_html_() == "<pre>Graph(2 boxes, 1 lines)</pre>"


def test_a_graph_comes_as_page_picture_and_text():
    graph = tg.ones(2, requires_grad=True).sum().graph()
    bundle = graph._repr_mimebundle_()
    assert bundle.keys() == {"text/html", "image/svg+xml", "text/plain"}
    assert bundle["text/html"] == graph._repr_html_()
    assert 'sandbox="allow-scripts"' in bundle["text/html"]


def test_a_run_shows_its_curves(tmp_path):
    run = tg.Run(tmp_path)
    assert "step 0" in run._repr_html_()
    for step in run.steps(3):
        run.log(loss=1 / step, test_loss=2 / step, accuracy=step / 4, nothing=float("nan"))
    html = run._repr_html_()
    assert html.count("<svg") == 2
    assert html.count("<circle") == 9
    assert "nothing: no finite value" in html
    assert "best test_loss 0.6667 at step 3" in html


def heights(values, steps=None):
    """Where a chart has the points of a curve, from the top."""
    steps = range(len(values)) if steps is None else steps
    svg = curves.chart({"metric": Series(steps, values)})
    assert "nan" not in svg
    assert "inf" not in svg
    return [float(y) for y in re.findall(r'cy="([^"]*)"', svg)], svg


def test_a_chart_fits_all_values_and_leaves_gaps():
    ys, svg = heights([0, 5, float("inf"), 10])
    bottom = curves.HEIGHT - curves.BOTTOM
    assert ys == [bottom, (bottom + 24) / 2, 24]
    assert svg.count("M") - svg.count("MH") >= 2
    for values in ([3.0], [2.0, 2.0], [-1e308, 1e308], [0.0, 5e-324], [1e300, 1e300], [-7]):
        ys, _ = heights(values)
        assert all(23.9 <= y <= bottom + 0.1 for y in ys)
    _, svg = heights([float(i == 777) for i in range(10_000)])
    assert " 24.0" in svg, "a spike is not lost"
    assert len(svg) < 20_000


def test_ticks_are_round_numbers_within():
    rng = np.random.default_rng(0)
    for _ in range(300):
        a, b = np.sort(rng.normal(size=2) * 10.0 ** rng.integers(-30, 30))
        least, most, ticks = curves._ticks(a, b, logarithmic=False)
        assert 1 <= len(ticks) <= 11
        assert all(least <= tick <= most for tick in ticks)
        assert all(len(f"{tick:.4g}") < 11 for tick in ticks)
        _, _, powers = curves._ticks(abs(a) / 100, abs(a), logarithmic=True)
        assert 2 <= len(powers) <= 10


@pytest.mark.long
def test_ipython_finds_the_html(tmp_path):
    formatters = imported("IPython.core.formatters")
    graph = tg.ones(2, requires_grad=True).sum().graph()
    for x in (tg.ones(2), nn.ReLU(), tg.Run(tmp_path), graph):
        formatted, _ = formatters.DisplayFormatter().format(x)
        assert formatted["text/html"] == x._repr_html_()
        assert formatted["text/plain"]
    assert formatted["image/svg+xml"] == graph.svg()
