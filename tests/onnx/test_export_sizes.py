"""Exported models at sizes unlike the example's: lengths of 1 and 0, far ones, odd factors."""

import numpy as np
import pytest
from needed import imported
from onnx_runs import assert_close, outputs

import tinygrad_like as tg
from tinygrad_like import nn

einops = imported("einops")

IMAGE = {0: "batch", 2: "height", 3: "width"}
RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def check(model, path, axes, *shapes):
    """Export with an example of the first shape, and compare at all of them."""
    tg.onnx.export(model, {"x": normal(*shapes[0])}, path, dynamic_axes={"x": axes})
    for shape in shapes:
        x = normal(*shape)
        y = model(tg.Tensor(x))
        assert_close(outputs(path, {"x": x}), y if isinstance(y, tuple) else (y,))


FOLLOWING = {
    "a shift": lambda x: tg.roll(x, x.shape[2] // 2, 2),
    "windows": lambda x: tg.unfold(x, 3, stride=2),
    "means of windows": lambda x: tg.avg_pool2d(x, (2, 3), stride=(1, 2), padding=1),
    "lists": lambda x: tg.roll(tg.reshape(x, [x.shape[0] * 2, 2, *x.shape[2:]]), [1, 2], [1, 2]),
    "einops": lambda x: einops.rearrange(x, "n (c d) h w -> n d (h w) c", d=2),
    "repeats": lambda x: tg.repeat(x, x.shape[3], 1),
    "a choice between small integers": lambda x: tg.where(x > 0, tg.astype(x, np.int16), 3),
}


@pytest.mark.parametrize("name", FOLLOWING)
def test_integers_follow_sizes(tmp_path, name):
    shapes = (2, 4, 9, 8), (1, 4, 3, 5), (7, 4, 31, 22), (0, 4, 9, 8)
    check(FOLLOWING[name], tmp_path / "m.onnx", IMAGE, *shapes)


@pytest.mark.parametrize(("stride", "n"), [(5, 8), (8, 16), (3, 4)])
def test_lengths_of_strided_windows_are_told_by_more_runs(tmp_path, stride, n):
    def length(x):  # an integer that a reshape alone does not tell
        y = tg.max_pool2d(x, stride)[0, 0, :, 0]
        return tg.tile(y, 2)[: y.shape[0]]

    check(length, tmp_path / "m.onnx", {2: "height"}, (1, 1, n, 9), (1, 1, 101, 9), (1, 1, 8, 9))


def test_sizes_that_the_model_refuses_are_left_out(tmp_path):
    def halves(x):
        assert x.shape[3] % 2 == 0, x.shape
        return einops.reduce(x, "n c (h 2) w -> n c h w", "mean") * 2

    axes = {0: "batch", 2: "height", 3: "width"}
    check(halves, tmp_path / "m.onnx", axes, (2, 4, 8, 6), (1, 4, 2, 2), (3, 4, 22, 30))


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "bilinear", "bicubic"])
@pytest.mark.parametrize("factor", [2, 1.1, 2.1, 1 / 3, (0.7, 1.5)])
def test_images_of_any_size_are_resized_by_a_factor(tmp_path, mode, factor):
    def model(x):
        return tg.interpolate(x, scale_factor=factor, mode=mode)

    check(model, tmp_path / "m.onnx", IMAGE, (1, 2, 8, 9), (2, 2, 30, 17), (1, 2, 90, 51))


def test_a_loaded_model_is_exported_again(tmp_path):
    path, axes = tmp_path / "m.onnx", {0: "batch", 2: "height", 3: "width"}
    model = nn.Sequential(nn.Conv2D(4, 4, 3), nn.GroupNorm(2, 4), nn.PixelShuffle(2)).eval()
    tg.onnx.export(model, {"x": normal(2, 4, 6, 5)}, path, dynamic_axes={"x": axes})
    loaded = tg.onnx.load(path).eval()
    tg.onnx.export(loaded, {"x": normal(2, 4, 6, 5)}, path, dynamic_axes={"x": axes})
    x = normal(3, 4, 11, 8)
    assert_close(outputs(path, {"x": x}), [model(tg.Tensor(x))])


def test_a_length_that_stops_growing_is_no_line(tmp_path):
    def diagonal(x):  # of min(n, 3) elements
        return tg.diagonal(x, offset=1)

    with pytest.raises(tg.onnx.ExportError, match="follows the sizes of the inputs"):
        tg.onnx.export(diagonal, {"x": normal(2, 4)}, tmp_path / "m", dynamic_axes={"x": {0: "n"}})


def test_an_option_that_cannot_follow_a_size_is_refused(tmp_path):
    def means(x):
        return tg.avg_pool2d(x, x.shape[2:])

    with pytest.raises(tg.onnx.ExportError, match=r"avg_pool2d .* with geometry that follows"):
        tg.onnx.export(means, normal(2, 4, 9, 8), tmp_path / "m.onnx", dynamic_axes={"x": IMAGE})


@pytest.mark.parametrize("kind", [nn.LSTM, nn.RNN])  # ONNX Runtime's GRU crashes
def test_the_state_after_no_steps_is_the_first_one(tmp_path, kind):
    axes = {0: "batch", 1: "length"}
    model = kind(3, 4).eval()
    path = tmp_path / "m.onnx"
    tg.onnx.export(model, normal(2, 5, 3), path, dynamic_axes={"x": axes})
    for state in outputs(path, {"x": normal(2, 0, 3)})[1:]:
        assert not state.any()


def test_sums_of_unsigned_integers(tmp_path):
    def sums(x):
        return tg.sum(x, axis=1), tg.prod(x, axis=1), tg.cumsum(x, 1)

    path = tmp_path / "m.onnx"
    for dtype in (np.uint8, np.uint64):
        tg.onnx.export(sums, np.ones((2, 3), dtype), path)
        x = np.array([[200, 100, 7], [1, 0, 255]], dtype)
        assert_close(outputs(path, {"x": x}), sums(tg.Tensor(x)))


def test_what_the_checker_refuses_is_no_file(tmp_path):
    path = tmp_path / "m.onnx"
    with pytest.raises(tg.onnx.ExportError, match=r"checker refuses .* Pow"):
        tg.onnx.export(lambda x: x**2, np.ones(3, np.uint64), path)
    assert not path.exists()
