"""Settings of layers beside those of PyTorch's layers, which `load_torch` compares."""

import torch

from tinygrad_like import nn

T = torch.nn

ROWS = {  # ours, PyTorch's of the same settings, PyTorch's of others, what is said
    "conv1d": (
        nn.Conv1D(2, 2, 3, 2, 1), T.Conv1d(2, 2, 3, 2, 1), T.Conv1d(2, 2, 3, 1, 1), "0.stride is 2"
    ),
    "conv2d": (
        nn.Conv2D(2, 2, 3, padding=(1, 2)), T.Conv2d(2, 2, 3, padding=(1, 2)),
        T.Conv2d(2, 2, 3, padding=1), r"0.padding is \(1, 2\)",
    ),
    "conv2d valid": (
        nn.Conv2D(2, 2, 3, padding="valid"), T.Conv2d(2, 2, 3), T.Conv2d(2, 2, 3, padding="same"),
        "0.padding is 'valid'",
    ),
    "conv2d mode": (
        nn.Conv2D(2, 2, 3, padding=1), T.Conv2d(2, 2, 3, padding=1),
        T.Conv2d(2, 2, 3, padding=1, padding_mode="reflect"),
        "0.padding_mode is 'zeros', PyTorch's is 'reflect'",
    ),
    "conv_transpose2d": (
        nn.ConvTranspose2D(2, 2, 3, 2), T.ConvTranspose2d(2, 2, 3, 2),
        T.ConvTranspose2d(2, 2, 3, 2, output_padding=1), "0.output_padding is 0",
    ),
    "conv1d uneven": (
        nn.Conv1D(2, 2, 3, padding=((1, 1),)), T.Conv1d(2, 2, 3, padding=1),
        T.Conv1d(2, 2, 3, padding=2), r"0.padding is \(\(1, 1\),\)",
    ),
    "conv2d uneven": (
        nn.Conv2D(2, 2, 3, padding=((1, 1), (2, 2))), T.Conv2d(2, 2, 3, padding=(1, 2)),
        T.Conv2d(2, 2, 3, padding=(2, 1)), r"0.padding is \(\(1, 1\), \(2, 2\)\)",
    ),
    "max_pool": (nn.MaxPool2D(2), T.MaxPool2d(2), T.MaxPool2d(2, 1), "0.stride is 2"),
    "avg_pool": (nn.AvgPool2D((2, 3)), T.AvgPool2d((2, 3)), T.AvgPool2d(2, (2, 3)), "0.size is"),
    "batch_norm": (nn.BatchNorm(2), T.BatchNorm2d(2), T.BatchNorm2d(2, 1e-3), "0.eps is 1e-05"),
    "layer_norm": (nn.LayerNorm(2), T.LayerNorm(2), T.LayerNorm(2, 1e-6), "0.eps is 1e-05"),
    "rms_norm": (nn.RMSNorm(2), T.RMSNorm(2, 1e-6), T.RMSNorm(2), "0.eps is 1e-06"),
    "group_norm": (nn.GroupNorm(2, 4), T.GroupNorm(2, 4), T.GroupNorm(1, 4), "0.groups is 2"),
    "embedding": (
        nn.Embedding(3, 2, -1), T.Embedding(3, 2, 2), T.Embedding(3, 2), "0.padding_idx is 2"
    ),
    "dense": (nn.Dense(2, 2), T.Linear(2, 2), T.Bilinear(2, 2, 2), "0 is a Dense"),
    "max_pool size": (nn.MaxPool2D(2), T.MaxPool2d(2), T.MaxPool2d(3, 2), "0.size is 2"),
    "max_pool ceil": (
        nn.MaxPool2D(2, ceil_mode=True), T.MaxPool2d(2, ceil_mode=True), T.MaxPool2d(2),
        "0.ceil_mode is True",
    ),
    "max_pool dilation": (
        nn.MaxPool2D(2), T.MaxPool2d(2, dilation=(1, 1)), T.MaxPool2d(2, dilation=(1, 2)),
        "0.dilation is 1",
    ),
    "max_pool indices": (
        nn.MaxPool2D(2), T.MaxPool2d(2), T.MaxPool2d(2, return_indices=True), "return_indices is F",
    ),
    "max_pool class": (
        nn.MaxPool2D(2), T.MaxPool2d(2), T.AvgPool2d(2),
        "0 is a MaxPool2D, PyTorch's is a AvgPool2d",
    ),
    "avg_pool ceil": (
        nn.AvgPool2D(2), T.AvgPool2d(2), T.AvgPool2d(2, ceil_mode=True), "0.ceil_mode is False"
    ),
    "avg_pool pad": (
        nn.AvgPool2D(2, padding=1), T.AvgPool2d(2, padding=1),
        T.AvgPool2d(2, padding=1, count_include_pad=False), "0.count_include_pad is True",
    ),
    "avg_pool divisor": (
        nn.AvgPool2D(2), T.AvgPool2d(2), T.AvgPool2d(2, divisor_override=3),
        "0.divisor_override is None",
    ),
    "global_avg_pool": (
        nn.GlobalAvgPool2D(), T.AdaptiveAvgPool2d((1, 1)), T.AdaptiveAvgPool2d(2), "output_size is"
    ),
    "flatten": (nn.Flatten(), T.Flatten(), T.Flatten(0), "0.start_axis is 1"),
    "flatten end": (nn.Flatten(), T.Flatten(1, -1), T.Flatten(1, 2), "0.end_axis is -1"),
    "batch_norm momentum": (
        nn.BatchNorm(2, 0.2), T.BatchNorm1d(2, momentum=0.2), T.BatchNorm1d(2, momentum=None),
        "0.momentum is 0.2, PyTorch's is None",
    ),
    "layer_norm class": (
        nn.LayerNorm(2, bias=False), T.LayerNorm(2, bias=False), T.RMSNorm(2), "0 is a LayerNorm"
    ),
    "dropout": (nn.Dropout(0.1), T.Dropout(0.5), T.ReLU(), "0 is a Dropout"),
    "embedding norm": (
        nn.Embedding(3, 2), T.Embedding(3, 2), T.Embedding(3, 2, max_norm=1.0), "0.max_norm is None"
    ),
    "positions": (
        nn.LearnedPositions(3, 2), T.Embedding(3, 2), T.Embedding(3, 2, max_norm=1.0), "0.max_norm"
    ),
    "gru": (nn.GRU(2, 2), T.GRU(2, 2), T.LSTM(2, 2), "0 is a GRU"),
    "lstm": (nn.LSTM(2, 2), T.LSTM(2, 2), T.GRU(2, 2), "0 is a LSTM"),
    "attention zero": (
        nn.MultiHeadAttention(4, 2), T.MultiheadAttention(4, 2),
        T.MultiheadAttention(4, 2, add_zero_attn=True), "0.add_zero_attn is False",
    ),
    "encoder_layer": (
        nn.TransformerEncoderLayer(4, 2, 8, activation="relu", norm_first=False),
        T.TransformerEncoderLayer(4, 2, 8), T.TransformerDecoderLayer(4, 2, 8),
        "0 is a TransformerEncoderLayer",
    ),
    "decoder_layer": (
        nn.TransformerDecoderLayer(4, 2, 8, activation="relu", norm_first=False),
        T.TransformerDecoderLayer(4, 2, 8), T.TransformerEncoderLayer(4, 2, 8),
        "0 is a TransformerDecoderLayer",
    ),
    "rnn": (nn.RNN(2, 2), T.RNN(2, 2), T.RNN(2, 2, nonlinearity="relu"), "nonlinearity is 'tanh'"),
    "attention": (
        nn.MultiHeadAttention(4, 2), T.MultiheadAttention(4, 2), T.MultiheadAttention(4, 4),
        "0.num_heads is 2",
    ),
    "leaky_relu": (nn.LeakyReLU(), T.LeakyReLU(), T.LeakyReLU(0.2), "0.slope is 0.01"),
    "elu": (nn.ELU(), T.ELU(), T.ELU(0.5), "0.alpha is 1"),
    "gelu": (nn.GELU(), T.GELU(), T.GELU("tanh"), "0.approximate is False, PyTorch's is 'tanh'"),
    "softmax": (nn.Softmax(), T.Softmax(-1), T.Softmax(1), "0.axis is -1"),
    "relu": (nn.ReLU(), T.ReLU(), T.GELU(), "0 is a ReLU, PyTorch's is a GELU"),
    "silu": (nn.SiLU(), T.SiLU(), T.ReLU(), "0 is a SiLU"),
    "tanh": (nn.Tanh(), T.Tanh(), T.Sigmoid(), "0 is a Tanh"),
    "sigmoid": (nn.Sigmoid(), T.Sigmoid(), T.Tanh(), "0 is a Sigmoid"),
    "softplus": (nn.Softplus(), T.Softplus(), T.ReLU(), "0 is a Softplus"),
    "softplus beta": (nn.Softplus(), T.Softplus(), T.Softplus(2), "0.beta is 1"),
    "softplus limit": (nn.Softplus(), T.Softplus(), T.Softplus(1, 5), "0.threshold is None"),
    "softplus options": (
        nn.Softplus(2, 5), T.Softplus(2, 5), T.Softplus(2, 6), "0.threshold is 5"
    ),
}  # fmt: skip


for name in "Mish SELU ReLU6 Hardsigmoid Hardswish LogSigmoid Softsign Tanhshrink PReLU".split():
    ROWS[name] = getattr(nn, name)(), getattr(T, name)(), T.ELU(), f"0 is a {name}"
for kind in ("Avg", "Max"):
    for n in (1, 2, 3):
        theirs = getattr(T, f"Adaptive{kind}Pool{n}d")
        ours = getattr(nn, f"Adaptive{kind}Pool{n}D")(2)
        ROWS[f"adaptive {kind} {n}"] = ours, theirs(2), theirs(3), "0.size is"
for ours, theirs in (
    *((nn.MaxPool1D, T.MaxPool1d), (nn.MaxPool3D, T.MaxPool3d), (nn.AvgPool1D, T.AvgPool1d)),
    *((nn.AvgPool3D, T.AvgPool3d), (nn.LpPool1D, T.LPPool1d), (nn.LpPool2D, T.LPPool2d)),
    (nn.LpPool3D, T.LPPool3d),
):
    given = (2, 2) if "Lp" in ours.__name__ else (2,)
    ROWS[f"{ours.__name__} size"] = (
        *(ours(*given, 1), theirs(*given, 1), theirs(*given[1:], 3, 1)),
        "0.size is 2",
    )
FURTHER = {
    "conv3d": (nn.Conv3D(2, 2, 1, 2), T.Conv3d(2, 2, 1, 2), T.Conv3d(2, 2, 1), "0.stride is 2"),
    "transpose1d": (
        nn.ConvTranspose1D(2, 2, 3, 2), T.ConvTranspose1d(2, 2, 3, 2),
        T.ConvTranspose1d(2, 2, 3, 2, output_padding=1), "0.output_padding is 0",
    ),
    "transpose3d": (
        nn.ConvTranspose3D(2, 2, 1, 2), T.ConvTranspose3d(2, 2, 1, 2),
        T.ConvTranspose3d(2, 2, 1, 2, output_padding=1), "0.output_padding is 0",
    ),
    **{
        f"max_pool{n}d {name}": (
            getattr(nn, f"MaxPool{n}D")(2), getattr(T, f"MaxPool{n}d")(2),
            getattr(T, f"MaxPool{n}d")(2, **{name: value}), f"0.{name} is",
        )
        for n in (1, 3) for name, value in (("return_indices", True), ("dilation", 2))
    },
    **{
        f"avg_pool{n}d pad": (
            getattr(nn, f"AvgPool{n}D")(2, padding=1), getattr(T, f"AvgPool{n}d")(2, padding=1),
            getattr(T, f"AvgPool{n}d")(2, padding=1, count_include_pad=False),
            "0.count_include_pad is True",
        )
        for n in (1, 3)
    },
    "avg_pool3d divisor": (
        nn.AvgPool3D(2), T.AvgPool3d(2), T.AvgPool3d(2, divisor_override=3), "divisor_override is N"
    ),
    "lp 1": (nn.LpPool1D(2, 2), T.LPPool1d(2, 2), T.LPPool1d(3, 2), "0.ord is 2"),
    "lp 2": (nn.LpPool2D(2, 2), T.LPPool2d(2, 2), T.LPPool2d(3, 2), "0.ord is 2"),
    "lp 3": (nn.LpPool3D(2, 2), T.LPPool3d(2, 2), T.LPPool3d(3, 2), "0.ord is 2"),
    "adaptive indices 1": (
        nn.AdaptiveMaxPool1D(2), T.AdaptiveMaxPool1d(2),
        T.AdaptiveMaxPool1d(2, return_indices=True), "0.return_indices is F",
    ),
    "adaptive indices 2": (
        nn.AdaptiveMaxPool2D(2), T.AdaptiveMaxPool2d(2),
        T.AdaptiveMaxPool2d(2, return_indices=True), "0.return_indices is F",
    ),
    "adaptive places 3": (
        nn.AdaptiveMaxPool3D(2), T.AdaptiveMaxPool3d(2),
        T.AdaptiveMaxPool3d(2, return_indices=True), "0.return_indices is F",
    ),
    **{
        f"upsample {name}": (
            nn.Upsample(scale_factor=2, mode="bilinear"),
            T.Upsample(scale_factor=2, mode="bilinear"), T.Upsample(**other), f"0.{name} is",
        )
        for name, other in {
            "scale_factor": {"scale_factor": 3, "mode": "bilinear"},
            "mode": {"scale_factor": 2, "mode": "bicubic"},
            "align_corners": {"scale_factor": 2, "mode": "bilinear", "align_corners": True},
            "recompute_scale_factor":
                {"scale_factor": 2, "mode": "bilinear", "recompute_scale_factor": True},
        }.items()
    },
    "upsample size": (nn.Upsample(3), T.Upsample(3), T.Upsample(4), "0.size is 3"),
    "shuffle": (nn.PixelShuffle(2), T.PixelShuffle(2), T.PixelShuffle(3), "0.factor is 2"),
    "unshuffle": (nn.PixelUnshuffle(2), T.PixelUnshuffle(2), T.PixelUnshuffle(3), "0.factor is 2"),
    "identity": (nn.Identity(), T.Identity(), T.ReLU(), "0 is a Identity"),
    "unflatten": (
        nn.Unflatten(1, (2, 3)), T.Unflatten(1, (2, 3)), T.Unflatten(2, (2, 3)), "0.axis is 1"
    ),
    "unflatten shape": (
        nn.Unflatten(1, (2, 3)), T.Unflatten(1, (2, 3)), T.Unflatten(1, (3, 2)), "0.shape is"
    ),
    "instance_norm": (
        nn.InstanceNorm(2), T.InstanceNorm1d(2), T.InstanceNorm1d(2, 1e-3), "0.eps is 1e-05"
    ),
    "instance_norm stats": (
        nn.InstanceNorm(2), T.InstanceNorm2d(2, momentum=0.3),
        T.InstanceNorm2d(2, track_running_stats=True), "0.track_running_stats is False",
    ),
    "instance_norm momentum": (
        nn.InstanceNorm(2, track_running_stats=True),
        T.InstanceNorm2d(2, track_running_stats=True),
        T.InstanceNorm2d(2, momentum=0.3, track_running_stats=True), "0.momentum is 0.1",
    ),
    **{
        f"local {name}": (
            nn.LocalResponseNorm(3), T.LocalResponseNorm(3),
            T.LocalResponseNorm(**{"size": 3, name: 2}), f"0.{name} is",
        )
        for name in ("size", "alpha", "beta", "k")
    },
    "dropout2d": (nn.Dropout2D(), T.Dropout2d(), T.ReLU(), "0 is a Dropout2D"),
    "alpha dropout": (nn.AlphaDropout(), T.AlphaDropout(), T.ReLU(), "0 is a AlphaDropout"),
    "bilinear": (nn.Bilinear(2, 2, 2), T.Bilinear(2, 2, 2), T.Linear(2, 2), "0 is a Bilinear"),
    "cosine": (
        nn.CosineSimilarity(), T.CosineSimilarity(), T.CosineSimilarity(2), "0.axis is 1"
    ),
    "distance": (nn.PairwiseDistance(), T.PairwiseDistance(), T.PairwiseDistance(1), "0.p is 2"),
    "distance axis": (
        nn.PairwiseDistance(), T.PairwiseDistance(), T.PairwiseDistance(keepdim=True), "keepdims is"
    ),
    "bag": (
        nn.EmbeddingBag(3, 2), T.EmbeddingBag(3, 2), T.EmbeddingBag(3, 2, mode="sum"), "0.mode is"
    ),
    **{
        f"bag {name}": (
            nn.EmbeddingBag(3, 2), T.EmbeddingBag(3, 2), T.EmbeddingBag(3, 2, **{name: value}),
            f"0.{name} is",
        )
        for name, value in {"padding_idx": 1, "max_norm": 1.0, "include_last_offset": True}.items()
    },
    "celu": (nn.CELU(), T.CELU(), T.CELU(2.0), "0.alpha is 1"),
    "hardshrink": (nn.Hardshrink(), T.Hardshrink(), T.Hardshrink(1.0), "0.lambd is 0.5"),
    "softshrink": (nn.Softshrink(), T.Softshrink(), T.Softshrink(1.0), "0.lambd is 0.5"),
    "hardtanh": (nn.Hardtanh(), T.Hardtanh(), T.Hardtanh(-2), "0.min is -1"),
    "hardtanh max": (nn.Hardtanh(), T.Hardtanh(), T.Hardtanh(-1, 2), "0.max is 1"),
    "threshold": (nn.Threshold(1, 0), T.Threshold(1, 0), T.Threshold(2, 0), "0.threshold is 1"),
    "threshold value": (nn.Threshold(1, 0), T.Threshold(1, 0), T.Threshold(1, 3), "0.value is 0"),
    "log_softmax": (nn.LogSoftmax(), T.LogSoftmax(-1), T.LogSoftmax(1), "0.axis is -1"),
    "glu": (nn.GLU(), T.GLU(), T.GLU(1), "0.axis is -1"),
}  # fmt: skip
ROWS |= FURTHER
