"""What a run logs beside its history, read back by TensorBoard's and MLflow's own readers."""

import struct
import zlib

import numpy as np
import pytest
from needed import imported
from small_run import Training

import tinygrad_like as tg
from tinygrad_like.training import tensorboard


@pytest.fixture
def events(monkeypatch):
    monkeypatch.setattr(tensorboard, "is_installed", lambda: True)


def logged(folder, log, steps=2, **options):
    run = tg.Run(folder, **options)
    for _ in run.steps(steps):
        log(run)
    return run


SETTINGS = {"lr": 0.1, "layers": 3, "fast": True, "name": "ü", "sizes": [1, 2], "none": None}


@pytest.mark.long
def test_tensorboard_s_reader_finds_what_was_logged(tmp_path, events):
    accumulator = imported("tensorboard.backend.event_processing.event_accumulator")
    hparams = imported("tensorboard.plugins.hparams.metadata")
    values = np.concatenate([np.arange(100.0), [np.nan, np.inf]])
    picture = np.linspace(0, 1, 12).reshape(3, 4)
    colours = np.arange(36, dtype=np.uint8).reshape(3, 3, 4)

    def log(run):
        run.log(loss=1 / run.step)
        run.log_histogram(**{"layer/weight": tg.Tensor(values)}, same=np.ones(5))
        run.log_picture(grey=tg.Tensor(picture), colours=colours, flag=picture[None] > 0.5)
        run.log_text(note=f"**step** {run.step}")

    run = logged(tmp_path, log, settings=SETTINGS)
    run.log_text(after="the loop")
    sizes = {"images": 0, "histograms": 0}  # no limit to either
    found = accumulator.EventAccumulator(str(tmp_path / "tensorboard"), sizes)
    found.Reload()
    tags = found.Tags()
    assert tags["scalars"] == ["loss"]
    assert set(tags["histograms"]) == {"layer/weight", "same"}
    assert set(tags["images"]) == {"grey", "colours", "flag"}
    assert [(e.step, e.value) for e in found.Scalars("loss")] == [(1, 1.0), (2, 0.5)]
    first, second = found.Histograms("layer/weight")
    assert (first.step, second.step) == (1, 2)
    histogram = first.histogram_value
    assert (histogram.min, histogram.max, histogram.num, histogram.sum) == (0, 99, 100, 4950)
    assert histogram.sum_squares == (np.arange(100.0) ** 2).sum()
    assert sum(histogram.bucket) == 100
    assert len(histogram.bucket) == len(histogram.bucket_limit) == 64
    assert histogram.bucket_limit[-1] == 99
    same = found.Histograms("same")[0].histogram_value
    assert (same.num, sum(same.bucket)) == (5, 5)
    image = found.Images("colours")[1]
    assert (image.step, image.width, image.height) == (2, 4, 3)
    np.testing.assert_array_equal(_decoded(image.encoded_image_string), np.moveaxis(colours, 0, -1))
    grey = _decoded(found.Images("grey")[0].encoded_image_string)
    np.testing.assert_array_equal(grey, np.rint(picture * 255))
    texts = [e.tensor_proto.string_val[0].decode() for e in found.Tensors("note/text_summary")]
    assert texts == ["**step** 1", "**step** 2"]
    assert found.Tensors("after/text_summary")[0].tensor_proto.string_val[0] == b"the loop"
    data = found.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    info = hparams.parse_session_start_info_plugin_data(data)
    read = {name: getattr(v, v.WhichOneof("kind")) for name, v in info.hparams.items()}
    assert read == {**SETTINGS, "sizes": "[1, 2]", "none": "None"}


def _decoded(data):
    """The pixels of a PNG file as `encode` writes it, by another way than its own."""
    pillow = imported("PIL.Image")
    import io

    return np.asarray(pillow.open(io.BytesIO(data)))


def test_a_histogram_of_any_range_holds_all_finite_values(tmp_path):
    for values in (
        np.array([1e308, -1e308, 3.0]),
        np.array([5e-324, 0.0, 1e-323]),
        np.array([7, 7, 7]),
        np.array([1.0, np.nextafter(1.0, 2)]),
        np.array([True, False]),
        np.float16([65504, -1]),
    ):
        ends = tensorboard._bins(float(values.min()), float(values.max()))
        assert len(ends) == 65
        assert np.all(np.diff(ends) > 0)
        assert np.histogram(values.astype(np.float64), ends)[0].sum() == values.size


def test_what_is_no_picture_or_text_is_refused(tmp_path, events):
    def log(run):
        with pytest.raises(ValueError, match=r"\[log_picture\] x is \(5, 4, 3\).*np.moveaxis"):
            run.log_picture(x=np.zeros((5, 4, 3)))
        with pytest.raises(ValueError, match=r"x has values from -1.0 to 0.0, expected 0 to 1"):
            run.log_picture(x=np.eye(2) - 1)
        with pytest.raises(ValueError, match=r"x has values from nan to nan"):
            run.log_picture(x=np.full((2, 2), np.nan))
        with pytest.raises(TypeError, match=r"\[log_histogram\] x .* expected real numbers"):
            run.log_histogram(x=np.array([1j]))
        with pytest.raises(TypeError, match=r"\[log_histogram\] x is no array: .*inhomogeneous"):
            run.log_histogram(x=[[1], [1, 2]])
        with pytest.raises(TypeError, match=r"\[log_text\] x is a int, expected a string"):
            run.log_text(x=3)
        run.log_histogram(x=np.array([np.nan]), y=np.zeros(0))  # nothing to draw

    run = tg.Run(tmp_path)
    for act in (run.log_text, run.log_histogram, run.log_picture):
        with pytest.raises(RuntimeError, match="the loop has not begun"):
            act()
    logged(tmp_path, log, steps=1)


def test_without_tensorboard_a_line_says_once_what_brings_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tensorboard, "is_installed", lambda: False)
    logged(tmp_path, lambda run: run.log_text(note="a"))
    said = capsys.readouterr().out
    assert said.count("pip install 'tinygrad-like[tensorboard]' brings them") == 1
    assert not (tmp_path / "tensorboard").exists()


def test_a_full_disk_is_reported_and_ends_no_training(tmp_path, events, monkeypatch, capsys):
    def full(*args):
        raise OSError(28, "No space left on device")

    def log(run):
        if run.step == 2:
            monkeypatch.setattr(tensorboard.Events, "_add", full)
        run.log_text(note="a")
        run.log(loss=1)

    run = logged(tmp_path, log, steps=4)
    assert len(run.history["loss"]) == 4
    assert len(list((tmp_path / "tensorboard").iterdir())) == 1
    said = capsys.readouterr()
    assert (said.out + said.err).count("No space left on device") == 1
    assert run.finish("done") == 1


def test_texts_and_pictures_change_neither_history_nor_checkpoint(tmp_path, events):
    def beside(run):
        run.log_text(note="x")
        run.log_picture(p=np.eye(3))
        run.log_histogram(h=np.arange(5))

    Training(tmp_path / "plain").train(1)
    Training(tmp_path / "beside").train(1, beside)
    for name in ("checkpoint.safetensors", "history.jsonl"):
        found = [(tmp_path / folder / name).read_bytes() for folder in ("plain", "beside")]
        assert found[0] == found[1]


def test_a_setting_that_no_float_can_be_is_shown_as_text(tmp_path, events):
    run = logged(tmp_path, lambda run: run.log(loss=1), settings={"n": 10**400})
    assert run.history["loss"].values == [1, 1]
    (file,) = (tmp_path / "tensorboard").iterdir()
    assert b"1" + b"0" * 400 in file.read_bytes()


def test_functions_are_told_of_each_log_until_they_are_removed(tmp_path):
    told = []
    run = tg.Run(tmp_path, settings={"lr": 1})
    first = run.on_log(lambda metrics, step: told.append((step, metrics)))
    run.on_log(lambda metrics, step: metrics.clear())
    for step in run.steps(3):
        if step == 3:
            first()
        run.log(loss=tg.Tensor(step), lr=0.5)
    assert told == [(1, {"loss": 1.0, "lr": 0.5}), (2, {"loss": 2.0, "lr": 0.5})]
    assert run.history["loss"].values == [1, 2, 3]
    assert run.settings == {"lr": 1}
    with pytest.raises(TypeError, match=r"\[on_log\] callback is a int, expected a function"):
        run.on_log(3)


@pytest.mark.long
def test_mlflow_keeps_the_curves_of_a_run(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # the store that needs no database
    mlflow = imported("mlflow")
    mlflow.set_tracking_uri((tmp_path / "store").as_uri())
    run = tg.Run(tmp_path / "run", settings={"lr": 0.1, "name": "small"})
    with mlflow.start_run() as tracked:
        mlflow.log_params(run.settings)
        run.on_log(lambda metrics, step: mlflow.log_metrics(metrics, step=step))
        for step in run.steps(3):
            run.log(loss=1 / step)
    client = mlflow.MlflowClient()
    kept = client.get_metric_history(tracked.info.run_id, "loss")
    assert [(m.step, m.value) for m in kept] == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    assert client.get_run(tracked.info.run_id).data.params == {"lr": "0.1", "name": "small"}


def test_a_png_file_has_the_pixels_and_their_checksums():
    from tinygrad_like.pictures import png

    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    content, chunks = png.encode(pixels)[8:], {}
    while content:
        (length,) = struct.unpack(">I", content[:4])
        kind, data = content[4:8], content[8 : 8 + length]
        assert struct.unpack(">I", content[8 + length : 12 + length])[0] == zlib.crc32(kind + data)
        chunks[kind], content = data, content[12 + length :]
    assert list(chunks) == [b"IHDR", b"IDAT", b"IEND"]
    assert struct.unpack(">IIBBBBB", chunks[b"IHDR"]) == (4, 2, 8, 2, 0, 0, 0)
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(2, 13)
    assert not rows[:, 0].any()
    np.testing.assert_array_equal(rows[:, 1:].reshape(2, 4, 3), pixels)
