"""Every layer, exported with dynamic axes and run by ONNX Runtime at other sizes."""

import inspect

import numpy as np
import pytest
from onnx_runs import assert_close, outputs

import tinygrad_like as tg
from tinygrad_like import nn
from tinygrad_like.onnx.export.arguments import by_name

BATCH = {"x": {0: "batch"}}
LENGTH = {"x": {0: "batch", 1: "length"}}
LAST = {"x": {0: "batch", 2: "length"}}
IMAGE = {"x": {0: "batch", 2: "height", 3: "width"}}
VOLUME = {"x": {0: "batch", 3: "height", 4: "width"}}


class Case:
    """How to make a layer, the shapes of its inputs, and which axes are dynamic."""

    def __init__(self, make, *shapes, axes=BATCH, ids=0, names=("x",)):
        self.make, self.shapes, self.axes, self.ids, self.names = make, shapes, axes, ids, names

    def inputs(self, more=0):
        """Inputs whose dynamic axes are longer by `more`."""
        rng = np.random.default_rng(more)
        found = {}
        for name, shape in zip(self.names, self.shapes, strict=True):
            dynamic = self.axes.get(name, {})
            lengths = [n + more if axis in dynamic else n for axis, n in enumerate(shape)]
            x = rng.integers(0, self.ids, lengths) if self.ids else rng.standard_normal(lengths)
            found[name] = x if self.ids else x.astype(np.float32)
        return found


def one(*shape, axes=BATCH, **options):
    return lambda make: Case(make, shape, axes=axes, **options)


ROW, IMAGES, STEPS = one(2, 6), one(2, 4, 6, 7), one(2, 5, 8, axes=LENGTH)
CURVES = (
    *(
        "CELU ELU GELU GLU LeakyReLU ReLU SELU SiLU Sigmoid Softmax Softplus Tanh LogSigmoid"
    ).split(),
    *("LogSoftmax Mish PReLU ReLU6 Hardshrink Hardsigmoid Hardswish Hardtanh Softshrink").split(),
    *("Softsign Tanhshrink Identity").split(),
)
two = {"x1": {0: "batch"}, "x2": {0: "batch"}}
PAIRS = {"axes": two, "names": ("x1", "x2")}
LAYERS = {
    **{name: ROW(getattr(nn, name)) for name in CURVES},
    "Threshold": ROW(lambda: nn.Threshold(0.1, 2.0)),
    "SwiGLU": ROW(lambda: nn.SwiGLU(6, 8)),
    "Dropout": ROW(lambda: nn.Dropout(0.5)),
    "AlphaDropout": ROW(lambda: nn.AlphaDropout(0.5)),
    "Dropout2D": IMAGES(lambda: nn.Dropout2D(0.5)),
    "Dense": ROW(lambda: nn.Dense(6, 3)),
    "Sequential": ROW(lambda: nn.Sequential(nn.Dense(6, 3), nn.Tanh())),
    "Embedding": one(2, 5, axes=LENGTH, ids=7)(lambda: nn.Embedding(7, 4)),
    "EmbeddingBag": one(2, 5, ids=7)(lambda: nn.EmbeddingBag(7, 4, mode="max")),
    "Conv1D": one(2, 4, 9, axes=LAST)(lambda: nn.Conv1D(4, 3, 3, stride=2, padding=1)),
    "Conv2D": one(2, 4, 6, 7, axes=IMAGE)(lambda: nn.Conv2D(4, 6, 3, padding="same", groups=2)),
    "Conv3D": one(2, 2, 4, 5, 6, axes=VOLUME)(lambda: nn.Conv3D(2, 4, 2, padding=1)),
    "ConvTranspose1D": one(2, 4, 9, axes=LAST)(lambda: nn.ConvTranspose1D(4, 3, 3, stride=2)),
    "ConvTranspose2D": one(2, 4, 6, 7, axes=IMAGE)(
        lambda: nn.ConvTranspose2D(4, 6, 3, stride=2, padding=1, output_padding=1)
    ),
    "ConvTranspose3D": one(2, 4, 3, 4, 5)(lambda: nn.ConvTranspose3D(4, 2, 2, stride=2)),
    **{
        f"{kind}Pool{n}D": one(2, 3, *(7, 8, 6)[:n])(
            lambda kind=kind, n=n: getattr(nn, f"{kind}Pool{n}D")(2)
        )
        for kind in ("Avg", "Max", "AdaptiveAvg", "AdaptiveMax")
        for n in (1, 2, 3)
    },
    **{
        f"LpPool{n}D": one(2, 3, *(7, 8, 6)[:n])(lambda n=n: getattr(nn, f"LpPool{n}D")(2.0, 2))
        for n in (1, 2, 3)
    },
    "GlobalAvgPool2D": one(2, 4, 6, 7, axes=IMAGE)(nn.GlobalAvgPool2D),
    "BatchNorm": one(2, 4, 6, 7, axes=IMAGE)(lambda: nn.BatchNorm(4)),
    "InstanceNorm": one(2, 4, 6, 7, axes=IMAGE)(lambda: nn.InstanceNorm(4, affine=True)),
    "GroupNorm": one(2, 4, 6, 7, axes=IMAGE)(lambda: nn.GroupNorm(2, 4)),
    "LayerNorm": STEPS(lambda: nn.LayerNorm(8)),
    "RMSNorm": STEPS(lambda: nn.RMSNorm(8)),
    "LocalResponseNorm": IMAGES(lambda: nn.LocalResponseNorm(3)),
    "Flatten": IMAGES(nn.Flatten),
    "Unflatten": ROW(lambda: nn.Unflatten(1, (2, 3))),
    "PixelShuffle": one(2, 4, 6, 7, axes=IMAGE)(lambda: nn.PixelShuffle(2)),
    "PixelUnshuffle": one(2, 4, 6, 8)(lambda: nn.PixelUnshuffle(2)),
    "Upsample": IMAGES(lambda: nn.Upsample(scale_factor=2, mode="bilinear")),
    "Bilinear": Case(lambda: nn.Bilinear(3, 2, 4), (2, 3), (2, 2), **PAIRS),
    "CosineSimilarity": Case(nn.CosineSimilarity, (2, 3), (2, 3), **PAIRS),
    "PairwiseDistance": Case(nn.PairwiseDistance, (2, 3), (2, 3), **PAIRS),
    "RNN": STEPS(lambda: nn.RNN(8, 5, nonlinearity="relu", bidirectional=True)),
    "GRU": STEPS(lambda: nn.GRU(8, 5, num_layers=2, bidirectional=True)),
    "LSTM": STEPS(lambda: nn.LSTM(8, 5, num_layers=2, bidirectional=True)),
    "projected LSTM": one(2, 5, 8)(lambda: nn.LSTM(8, 5, proj_size=3)),
    "StateSpace": STEPS(lambda: nn.StateSpace(8, 2)),
    "MixtureOfExperts": ROW(lambda: nn.MixtureOfExperts(6, 5, 4)),
    "MultiHeadAttention": STEPS(
        lambda: nn.MultiHeadAttention(8, 4, num_kv_heads=2, rotary=True, window=3)
    ),
    "AdditiveAttention": Case(
        lambda: nn.AdditiveAttention(8, 6, 5), (2, 8), (2, 5, 6),
        axes={"query": {0: "batch"}, "keys": {0: "batch", 1: "length"}}, names=("query", "keys"),
    ),
    "FeedForward": STEPS(lambda: nn.FeedForward(8, 16)),
    "PositionalEncoding": STEPS(lambda: nn.PositionalEncoding(8)),
    "LearnedPositions": STEPS(lambda: nn.LearnedPositions(32, 8)),
    "TransformerEncoderLayer": STEPS(lambda: nn.TransformerEncoderLayer(8, 2, 16)),
    "TransformerEncoder": STEPS(lambda: nn.TransformerEncoder(8, 2, 16, 2, alibi=True)),
    **{
        name: Case(
            make, (2, 5, 8), (2, 4, 8), names=("x", "memory"),
            axes={"x": {0: "batch", 1: "length"}, "memory": {0: "batch", 1: "memory"}},
        )
        for name, make in {
            "TransformerDecoderLayer": lambda: nn.TransformerDecoderLayer(8, 2, 16),
            "TransformerDecoder": lambda: nn.TransformerDecoder(8, 2, 16, 2, norm_first=False),
        }.items()
    },
    "GPT": one(2, 5, axes=LENGTH, ids=11)(lambda: nn.GPT(11, 32, 8, 1, 2)),
    "BERT": Case(
        lambda: nn.BERT(11, 32, 8, 1, 2, segments=11), (2, 5), (2, 5), ids=11,
        axes={"ids": LENGTH["x"], "segments": LENGTH["x"]}, names=("ids", "segments"),
    ),
    **{
        f"BERTFor{task}": one(2, 5, axes=LENGTH, ids=11)(
            lambda task=task, sizes=sizes: getattr(nn, f"BERTFor{task}")(
                nn.BERT(11, 32, 8, 1, 2), *sizes
            )
        )
        for task, sizes in {
            "MaskedLM": (), "NextSentencePrediction": (), "PreTraining": (),
            "SequenceClassification": (3,), "TokenClassification": (3,),
        }.items()
    },
    "RecurrentLM": one(2, 5, axes=LENGTH, ids=11)(
        lambda: nn.RecurrentLM("gru", 11, 8, 1)
    ),
    "WeightNorm": ROW(lambda: parametrized(nn.WeightNorm())),
    "SpectralNorm": ROW(lambda: parametrized(nn.SpectralNorm())),
    "Orthogonal": ROW(lambda: parametrized(nn.Orthogonal("exp"))),
    "LowRank": ROW(lambda: parametrized(nn.LowRank(2))),
}  # fmt: skip
ABSTRACT = {"Module", "ModuleList", "Parametrization"}


def parametrized(parametrization):
    layer = nn.Dense(6, 6)
    nn.parametrize(layer, "weight", parametrization)
    return layer


def several(y):
    return [z for part in y for z in several(part)] if isinstance(y, tuple) else [y]


@pytest.mark.long
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_gives_the_same_at_other_sizes(tmp_path, name, opset):
    tg.seed(0)
    case, path = LAYERS[name], tmp_path / "layer.onnx"
    layer = case.make().eval()
    example = tuple(case.inputs().values())
    names = dict(zip(case.names, by_name(layer, example), strict=True))  # those of forward
    axes = {names[name]: axes for name, axes in case.axes.items()}
    tg.onnx.export(layer, example, path, dynamic_axes=axes, opset=opset)
    for more in (0, 1, 4):
        inputs = case.inputs(more)
        y = layer(*map(tg.Tensor, inputs.values()))
        found = outputs(path, {names[name]: x for name, x in inputs.items()})
        assert_close(found, several(y))


def test_every_layer_has_a_row():
    layers = {
        name
        for name in nn.__all__
        if inspect.isclass(getattr(nn, name)) and issubclass(getattr(nn, name), nn.Module)
    }
    assert layers - {*LAYERS} - ABSTRACT == set()
