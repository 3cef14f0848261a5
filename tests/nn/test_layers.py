"""Layers: PyTorch's values and gradients, and what each does by itself."""

import numpy as np
import pytest
from layer_steps import IMAGE, SEQUENCE, close, compare_step, oracle
from oracle import needs_torch, torch

import tinygrad_like as tg
from tinygrad_like import nn


def padded(layer, *ends):
    """torch's layer, which pads its input by these ends (the last axis first) before anything."""
    layer.register_forward_pre_hook(lambda _, args: (torch.nn.functional.pad(args[0], ends),))
    return layer


VOLUME = 2, 4, 5, 4, 3
ROWS = [  # our layer, torch's, the shape of the input
    (lambda: nn.Dense(4, 5), lambda t: t.Linear(4, 5), (3, 4)),
    (lambda: nn.Dense(4, 5, bias=False), lambda t: t.Linear(4, 5, bias=False), (2, 3, 4)),
    (lambda: nn.Conv1D(4, 6, 3), lambda t: t.Conv1d(4, 6, 3), SEQUENCE),
    (lambda: nn.Conv1D(4, 6, 3, 2, 1, 2, 2), lambda t: t.Conv1d(4, 6, 3, 2, 1, 2, 2), SEQUENCE),
    (lambda: nn.Conv1D(4, 2, 3, 1, "same"), lambda t: t.Conv1d(4, 2, 3, 1, 1), SEQUENCE),
    (lambda: nn.Conv2D(4, 6, 3), lambda t: t.Conv2d(4, 6, 3), IMAGE),
    (
        lambda: nn.Conv2D(4, 6, (3, 2), (2, 1), (1, 0), (1, 2), groups=2, bias=False),
        lambda t: t.Conv2d(4, 6, (3, 2), (2, 1), (1, 0), (1, 2), groups=2, bias=False),
        IMAGE,
    ),
    (lambda: nn.Conv2D(4, 4, 3, padding="same"), lambda t: t.Conv2d(4, 4, 3, padding=1), IMAGE),
    (
        lambda: nn.Conv2D(4, 4, (2, 4), padding="same", dilation=(1, 3)),
        lambda t: padded(t.Conv2d(4, 4, (2, 4), dilation=(1, 3)), 4, 5, 0, 1),
        IMAGE,
    ),
    (
        lambda: nn.Conv2D(4, 4, 3, 2, ((0, 1), (2, 1))),
        lambda t: padded(t.Conv2d(4, 4, 3, 2), 2, 1, 0, 1),
        IMAGE,
    ),
    (
        lambda: nn.Conv1D(4, 2, 3, padding=((2, 0),)),
        lambda t: padded(t.Conv1d(4, 2, 3), 2, 0),
        SEQUENCE,
    ),
    (lambda: nn.Conv2D(4, 4, 3, padding="valid"), lambda t: t.Conv2d(4, 4, 3), IMAGE),
    (lambda: nn.ConvTranspose2D(4, 6, 3), lambda t: t.ConvTranspose2d(4, 6, 3), IMAGE),
    (
        lambda: nn.ConvTranspose2D(4, 6, (3, 2), 2, 1, groups=2, output_padding=(1, 0)),
        lambda t: t.ConvTranspose2d(4, 6, (3, 2), 2, 1, groups=2, output_padding=(1, 0)),
        IMAGE,
    ),
    (
        lambda: nn.ConvTranspose2D(4, 2, 3, dilation=2, bias=False),
        lambda t: t.ConvTranspose2d(4, 2, 3, dilation=2, bias=False),
        IMAGE,
    ),
    (lambda: nn.MaxPool2D(2), lambda t: t.MaxPool2d(2), IMAGE),
    (lambda: nn.MaxPool2D((3, 2), 2, (1, 0)), lambda t: t.MaxPool2d((3, 2), 2, (1, 0)), IMAGE),
    (lambda: nn.MaxPool2D(2, ceil_mode=True), lambda t: t.MaxPool2d(2, ceil_mode=True), IMAGE),
    (lambda: nn.AvgPool2D(2), lambda t: t.AvgPool2d(2), IMAGE),
    (
        lambda: nn.AvgPool2D(3, 2, 1, ceil_mode=True, count_include_pad=False),
        lambda t: t.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False),
        IMAGE,
    ),
    (lambda: nn.AvgPool2D((3, 2), 2, (1, 0)), lambda t: t.AvgPool2d((3, 2), 2, (1, 0)), IMAGE),
    (lambda: nn.Flatten(), lambda t: t.Flatten(), IMAGE),
    (lambda: nn.ReLU(), lambda t: t.ReLU(), IMAGE),
    (lambda: nn.LeakyReLU(), lambda t: t.LeakyReLU(), IMAGE),
    (lambda: nn.LeakyReLU(0.2), lambda t: t.LeakyReLU(0.2), IMAGE),
    (lambda: nn.ELU(), lambda t: t.ELU(), IMAGE),
    (lambda: nn.ELU(0.7), lambda t: t.ELU(0.7), IMAGE),
    (lambda: nn.GELU(), lambda t: t.GELU(), IMAGE),
    (lambda: nn.GELU(approximate=True), lambda t: t.GELU("tanh"), IMAGE),
    (lambda: nn.GELU("tanh"), lambda t: t.GELU("tanh"), IMAGE),
    (lambda: nn.GELU("none"), lambda t: t.GELU("none"), IMAGE),
    (lambda: nn.SiLU(), lambda t: t.SiLU(), IMAGE),
    (lambda: nn.Tanh(), lambda t: t.Tanh(), IMAGE),
    (lambda: nn.Sigmoid(), lambda t: t.Sigmoid(), IMAGE),
    (lambda: nn.Softmax(), lambda t: t.Softmax(-1), IMAGE),
    (lambda: nn.Softmax(1), lambda t: t.Softmax(1), IMAGE),
    (lambda: nn.Softplus(), lambda t: t.Softplus(), IMAGE),
    (lambda: nn.Softplus(3, 5), lambda t: t.Softplus(3, 5), IMAGE),
    (lambda: nn.BatchNorm(4), lambda t: t.BatchNorm1d(4), (5, 4)),
    (lambda: nn.BatchNorm(4, bias=False), lambda t: t.BatchNorm1d(4, bias=False), (5, 4)),
    (lambda: nn.BatchNorm(4), lambda t: t.BatchNorm1d(4), SEQUENCE),
    (lambda: nn.BatchNorm(4, 0.3, 1e-3), lambda t: t.BatchNorm2d(4, 1e-3, 0.3), IMAGE),
    (lambda: nn.BatchNorm(4, affine=False), lambda t: t.BatchNorm2d(4, affine=False), IMAGE),
    (lambda: nn.LayerNorm(6), lambda t: t.LayerNorm(6), IMAGE),
    (
        lambda: nn.LayerNorm((7, 6), 1e-3, bias=False),
        lambda t: t.LayerNorm((7, 6), 1e-3, bias=False),
        IMAGE,
    ),
    (
        lambda: nn.LayerNorm((7, 6), affine=False),
        lambda t: t.LayerNorm((7, 6), elementwise_affine=False),
        IMAGE,
    ),
    (
        lambda: nn.RMSNorm((7, 6), affine=False),
        lambda t: t.RMSNorm((7, 6), 1e-6, elementwise_affine=False),
        IMAGE,
    ),
    (
        lambda: nn.GroupNorm(2, 4, affine=False),
        lambda t: t.GroupNorm(2, 4, affine=False),
        IMAGE,
    ),
    (lambda: nn.RMSNorm(6), lambda t: t.RMSNorm(6, 1e-6), IMAGE),
    (lambda: nn.RMSNorm((7, 6), 1e-3), lambda t: t.RMSNorm((7, 6), 1e-3), IMAGE),
    (lambda: nn.GroupNorm(2, 4), lambda t: t.GroupNorm(2, 4), IMAGE),
    (lambda: nn.GroupNorm(4, 4, 1e-3), lambda t: t.GroupNorm(4, 4, 1e-3), SEQUENCE),
    (lambda: nn.Dropout(0.0), lambda t: t.Dropout(0.0), IMAGE),
    # Padding of other kinds, volumes, one example without a batch.
    *(
        (
            lambda mode=mode: nn.Conv2D(4, 2, 3, padding=(2, 1), padding_mode=mode),
            lambda t, mode=mode: t.Conv2d(4, 2, 3, padding=(2, 1), padding_mode=mode),
            IMAGE,
        )
        for mode in ("reflect", "replicate", "circular")
    ),
    (
        lambda: nn.Conv1D(4, 2, 3, padding="same", padding_mode="circular"),
        lambda t: t.Conv1d(4, 2, 3, padding="same", padding_mode="circular"),
        SEQUENCE[1:],
    ),
    (
        lambda: nn.Conv3D(4, 2, (2, 3, 1), 2, (1, 0, 1), groups=2, padding_mode="replicate"),
        lambda t: t.Conv3d(4, 2, (2, 3, 1), 2, (1, 0, 1), groups=2, padding_mode="replicate"),
        VOLUME,
    ),
    (lambda: nn.Conv3D(4, 2, 2), lambda t: t.Conv3d(4, 2, 2), VOLUME[1:]),
    (
        lambda: nn.ConvTranspose1D(4, 6, 3, 2, 1, groups=2, output_padding=1),
        lambda t: t.ConvTranspose1d(4, 6, 3, 2, 1, groups=2, output_padding=1),
        SEQUENCE,
    ),
    (
        lambda: nn.ConvTranspose3D(4, 2, (2, 1, 2), 2, output_padding=(1, 0, 1), dilation=2),
        lambda t: t.ConvTranspose3d(4, 2, (2, 1, 2), 2, output_padding=(1, 0, 1), dilation=2),
        VOLUME,
    ),
    (lambda: nn.MaxPool2D(2, 1, dilation=2), lambda t: t.MaxPool2d(2, 1, dilation=2), IMAGE),
    (lambda: nn.MaxPool1D(3, 2, 1), lambda t: t.MaxPool1d(3, 2, 1), SEQUENCE),
    (lambda: nn.MaxPool3D(2, 1), lambda t: t.MaxPool3d(2, 1), VOLUME),
    (
        lambda: nn.AvgPool1D(3, 2, 1, count_include_pad=False),
        lambda t: t.AvgPool1d(3, 2, 1, count_include_pad=False),
        SEQUENCE,
    ),
    (
        lambda: nn.AvgPool3D(2, divisor_override=3),
        lambda t: t.AvgPool3d(2, divisor_override=3),
        VOLUME,
    ),
    (lambda: nn.LpPool1D(2, 2), lambda t: t.LPPool1d(2, 2), SEQUENCE),
    (lambda: nn.LpPool2D(4, 2, 1), lambda t: t.LPPool2d(4, 2, 1), IMAGE),
    (lambda: nn.AdaptiveAvgPool1D(4), lambda t: t.AdaptiveAvgPool1d(4), SEQUENCE),
    (lambda: nn.AdaptiveAvgPool2D((3, None)), lambda t: t.AdaptiveAvgPool2d((3, None)), IMAGE),
    (lambda: nn.AdaptiveAvgPool3D(2), lambda t: t.AdaptiveAvgPool3d(2), VOLUME),
    (lambda: nn.AdaptiveMaxPool1D(4), lambda t: t.AdaptiveMaxPool1d(4), SEQUENCE[1:]),
    (lambda: nn.AdaptiveMaxPool2D(3), lambda t: t.AdaptiveMaxPool2d(3), IMAGE),
    (
        lambda: nn.AdaptiveMaxPool3D((2, None, 3)),
        lambda t: t.AdaptiveMaxPool3d((2, None, 3)),
        VOLUME,
    ),
    (lambda: nn.LpPool3D(2, (2, 2, 1), 1), lambda t: t.LPPool3d(2, (2, 2, 1), 1), VOLUME),
    (lambda: nn.Identity(), lambda t: t.Identity(), IMAGE),
    (lambda: nn.Flatten(0, 2), lambda t: t.Flatten(0, 2), IMAGE),
    (lambda: nn.Unflatten(1, (2, 2)), lambda t: t.Unflatten(1, (2, 2)), IMAGE),
    (lambda: nn.PixelShuffle(2), lambda t: t.PixelShuffle(2), IMAGE),
    (lambda: nn.PixelUnshuffle(2), lambda t: t.PixelUnshuffle(2), (2, 1, 4, 6)),
    (
        lambda: nn.Upsample(scale_factor=1.5, mode="bicubic"),
        lambda t: t.Upsample(scale_factor=1.5, mode="bicubic"),
        (2, 2, 3, 4),
    ),
    (lambda: nn.InstanceNorm(4), lambda t: t.InstanceNorm1d(4), SEQUENCE),
    (
        lambda: nn.InstanceNorm(4, 1e-3, affine=True),
        lambda t: t.InstanceNorm2d(4, 1e-3, affine=True),
        IMAGE,
    ),
    (
        lambda: nn.LocalResponseNorm(2, 0.1, 0.5, 2.0),
        lambda t: t.LocalResponseNorm(2, 0.1, 0.5, 2.0),
        IMAGE,
    ),
    (lambda: nn.Dropout2D(0.0), lambda t: t.Dropout2d(0.0), IMAGE),
    (lambda: nn.AlphaDropout(0.0), lambda t: t.AlphaDropout(0.0), IMAGE),
    *(
        (getattr(nn, name), lambda t, name=name: getattr(t, name)(), IMAGE)
        for name in (
            *("Mish", "SELU", "ReLU6", "Hardswish", "LogSigmoid", "Softsign", "Tanhshrink"),
            *("CELU", "Hardshrink", "Softshrink", "Hardtanh"),
        )
    ),
    (lambda: nn.Threshold(0.1, 2), lambda t: t.Threshold(0.1, 2), IMAGE),
    (lambda: nn.LogSoftmax(1), lambda t: t.LogSoftmax(1), IMAGE),
    (lambda: nn.GLU(1), lambda t: t.GLU(1), IMAGE),
    (lambda: nn.PReLU(), lambda t: t.PReLU(), IMAGE),
    (lambda: nn.PReLU(4), lambda t: t.PReLU(4), SEQUENCE),
]


@needs_torch
@pytest.mark.parametrize(
    ("ours", "theirs", "shape"), ROWS, ids=[f"{make()} {shape}" for make, _, shape in ROWS]
)
def test_layer_agrees_with_torch(ours, theirs, shape):
    ours = ours()
    theirs = oracle(ours, theirs)
    compare_step(ours, theirs, np.random.default_rng(0).normal(size=shape))
    compare_step(ours.eval(), theirs.eval(), np.random.default_rng(3).normal(size=shape))


@needs_torch
def test_embedding_agrees_with_torch():
    ours = nn.Embedding(7, 3)
    theirs = oracle(ours, lambda t: t.Embedding(7, 3))
    compare_step(ours, theirs, np.array([[0, 6, 3], [3, 3, 1]]))


@needs_torch
@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_a_bag_of_embeddings_agrees_with_torch(mode):
    ours = nn.EmbeddingBag(7, 3, mode, padding_idx=-1)
    theirs = oracle(ours, lambda t: t.EmbeddingBag(7, 3, mode=mode, padding_idx=-1))
    compare_step(ours, theirs, np.array([[0, 6, 3], [3, 3, 1], [6, 6, 6]]))


@needs_torch
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (lambda: nn.Bilinear(4, 6, 3), lambda t: t.Bilinear(4, 6, 3)),
        (lambda: nn.CosineSimilarity(-1), lambda t: t.CosineSimilarity(-1)),
        (lambda: nn.PairwiseDistance(3), lambda t: t.PairwiseDistance(3)),
    ],
)
def test_layers_of_two_inputs_agree_with_torch(ours, theirs):
    ours = ours()
    theirs = oracle(ours, theirs)
    rng = np.random.default_rng(0)
    width = 6 if isinstance(ours, nn.Bilinear) else 4
    xs = rng.normal(size=(2, 5, 4)), rng.normal(size=(2, 5, width))
    a, b = ([f(x, requires_grad=True) for x in xs] for f in (tg.Tensor, torch.tensor))
    y, z = ours(*a), theirs(*b)
    close(y, z.detach(), "output")
    (y * y).sum().backward()
    (z * z).sum().backward()
    for p, q in zip([*a, *ours.parameters()], [*b, *theirs.parameters()], strict=True):
        close(p.grad, q.grad, "a gradient")


def test_channels_are_dropped_as_a_whole_and_alpha_dropout_keeps_mean_and_variance():
    tg.seed(0)
    x = tg.ones((40, 50, 2, 3), requires_grad=True)
    y = nn.Dropout2D(0.3)(x)
    of_channels = y.numpy()[:, :, 0, 0]
    np.testing.assert_array_equal(
        y.numpy(), np.broadcast_to(of_channels[:, :, None, None], x.shape)
    )
    assert abs((of_channels == 0).mean() - 0.3) < 0.03
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.numpy())
    z = nn.AlphaDropout(0.4)(tg.randn((200, 200))).numpy()
    assert abs(z.mean()) < 0.02
    assert abs(z.std() - 1) < 0.02
    assert nn.AlphaDropout(0.4).eval()(x) is x
    assert nn.Dropout2D(0.3).eval()(x) is x


def test_dropout_drops_in_training_only():
    tg.seed(0)
    layer, x = nn.Dropout(0.25), tg.ones((100, 100), requires_grad=True)
    y = layer(x)
    kept = y.numpy() != 0
    assert abs(kept.mean() - 0.75) < 0.02
    np.testing.assert_allclose(y.numpy()[kept], 1 / 0.75, rtol=1e-6)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.numpy())
    assert layer.eval()(x) is x


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (nn.Dense(4, 5), (0, 4), (0, 5)),
        (nn.Conv1D(4, 6, 3), (0, *SEQUENCE[1:]), (0, 6, 7)),
        (nn.Conv2D(4, 6, 3), (0, *IMAGE[1:]), (0, 6, 5, 4)),
        (nn.ConvTranspose2D(4, 6, 3), (0, *IMAGE[1:]), (0, 6, 9, 8)),
        (nn.MaxPool2D(2), (0, *IMAGE[1:]), (0, 4, 3, 3)),
        (nn.AvgPool2D(2), (0, *IMAGE[1:]), (0, 4, 3, 3)),
        (nn.GlobalAvgPool2D(), (0, *IMAGE[1:]), (0, 4)),
        (nn.Flatten(), (0, *IMAGE[1:]), (0, 168)),
        (nn.GELU(), (0, 3), (0, 3)),
        (nn.Softmax(), (0, 3), (0, 3)),
        (nn.Dropout(0.5), (0, 3), (0, 3)),
        (nn.LayerNorm(6), (0, 6), (0, 6)),
        (nn.RMSNorm(6), (0, 6), (0, 6)),
        (nn.GroupNorm(2, 4), (0, *IMAGE[1:]), (0, *IMAGE[1:])),
        (nn.BatchNorm(4).eval(), (0, *IMAGE[1:]), (0, *IMAGE[1:])),
    ],
    ids=lambda v: type(v).__name__ if isinstance(v, nn.Module) else "",
)
def test_empty_batch(layer, shape, expected):
    x = tg.zeros(shape, requires_grad=True)
    y = layer(x)
    assert y.shape == expected
    y.sum().backward()
    assert x.grad.shape == shape
    for path, p in layer.named_parameters():
        assert np.all(p.grad.numpy() == 0), path


def test_every_layer_keeps_float32_and_float16():
    eps = np.float64(1e-3)  # a NumPy scalar, which promotes where it is not made a Python number
    layers = [nn.Dense(6, 6), nn.LayerNorm(6, eps), nn.RMSNorm(6, eps), nn.BatchNorm(6, eps, eps)]
    layers += [nn.GELU(), nn.LeakyReLU(eps), nn.ELU(eps), nn.Dropout(np.float64(0.1))]
    layers += [nn.GroupNorm(2, 6, eps), nn.Softplus(), nn.SiLU(), nn.Softmax()]
    for dtype in (np.float32, np.float16):
        for layer in layers:
            x = tg.randn((4, 6), dtype=dtype, requires_grad=True)
            y = layer.to(dtype)(x)
            y.sum().backward()
            found = {"y": y, "x.grad": x.grad, **layer.state_dict()}
            found |= {f"{path}.grad": p.grad for path, p in layer.named_parameters()}
            assert {k: t.dtype for k, t in found.items()} == dict.fromkeys(found, dtype), layer


@pytest.mark.parametrize(("decay", "moves"), [(0.0, False), (0.1, True)])
def test_a_padding_row_that_is_not_0_is_moved_by_decay_alone(decay, moves):
    layer = nn.Embedding(3, 2, padding_idx=1)
    optimizer = tg.optim.AdamW(layer.parameters(), weight_decay=decay)
    layer(np.array([0, 1])).sum().backward()
    optimizer.step()
    assert layer.weight.numpy()[1].tolist() == [0, 0]
    layer.load_state_dict({"weight": np.full((3, 2), 5.0, np.float32)})
    optimizer.step()
    assert (layer.weight.numpy()[1] != 5).all() == moves
