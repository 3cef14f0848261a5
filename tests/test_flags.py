"""Every public option that is True or False refuses anything else: found by its default."""

import inspect
import itertools
import tempfile
from pathlib import Path

import numpy as np
import pytest
from grouped import grouped

import tinygrad_like as tg
from tinygrad_like import nn

X = tg.ones((2, 3))
IMAGE = tg.ones((1, 1, 4, 4))
HEADS = tg.ones((1, 1, 2, 2))
SEQUENCE = tg.ones((1, 2, 2))
LEAF = tg.ones(2, requires_grad=True)
SQUARE = tg.eye(2)
SPECTRUM = tg.stft(tg.ones(8), 4)
SCORES = tg.ones((3, 1, 2)), [[1]], [3], [1]  # of ctc: times, texts, classes
NORMAL = tg.distributions.Normal([0.0, 1.0], 1.0)


def gates(blocks, biases):
    return SEQUENCE, tg.ones((2, 2 * blocks)), tg.ones((2, 2 * blocks)), tg.ones(2 * biases)


def attention():
    return nn.MultiHeadAttention(2, 1)


def laws(names, *arguments):
    return {f"distributions.{name}": arguments for name in names.split()}


# The arguments of a call that is right, but for the flag.
CALLS = {
    "Tensor": (X,),
    "Run": (Path(tempfile.gettempdir()) / "tinygrad_like-flags",),
    "requires_grad_": (tg.ones(2),),
    "backward": (tg.ones((), requires_grad=True),),
    "op": (),
    "autocast": (),
    "isclose": (X, X),
    "allclose": (X, X),
    "gumbel_softmax": (X,),
    "norm": (X,),
    "logsumexp": (X,),
    "sort": (X,),
    "argsort": (X,),
    **dict.fromkeys(("sum", "mean", "var", "std", "max", "min", "prod"), (X,)),
    **dict.fromkeys(("argmax", "argmin", "any", "all"), (X,)),
    **dict.fromkeys(("nansum", "nanmean", "nanvar", "nanstd", "nanmax", "nanmin"), (X,)),
    **dict.fromkeys(("nanprod", "nanmedian", "median", "mode", "ptp", "count_nonzero"), (X,)),
    **dict.fromkeys(("average", "unique", "meshgrid", "angle"), (X,)),
    **dict.fromkeys(("cov", "corrcoef", "cholesky"), (SQUARE,)),
    **dict.fromkeys(("quantile", "nanquantile", "percentile", "nanpercentile"), (X, 0.5)),
    "kthvalue": (X, 1),
    "topk": (X, 1),
    "digitize": (X, [0.0, 1.0]),
    "scatter": (X, [[0, 0, 1]], 1.0),
    "associative_scan": (tg.add, X),
    "stft": (tg.ones(8), 4),
    "istft": (SPECTRUM, 4),
    **dict.fromkeys(("linalg.svd", "linalg.pinv", "linalg.matrix_rank"), (X,)),
    **dict.fromkeys(("linalg.norm", "linalg.matrix_norm", "special.logsumexp"), (X,)),
    **dict.fromkeys(("linalg.cholesky_solve", "linalg.solve_triangular"), (SQUARE, SQUARE)),
    **dict.fromkeys(("losses.dice", "losses.kl_divergence", "losses.poisson_nll"), (X, X)),
    **dict.fromkeys(("losses.info_nce", "losses.pairwise_distance"), (X, X)),
    **dict.fromkeys(("losses.gaussian_nll", "losses.triplet_margin"), (X, X, X)),
    "losses.entropy": (X,),
    "losses.ctc": SCORES,
    "data.mel_spectrogram": (np.ones(4000), 8000),
    **laws("Distribution"),
    **laws("Bernoulli Geometric", 0.5),
    **laws("Categorical OneHotCategorical Dirichlet", [0.5, 0.5]),
    **laws("Binomial NegativeBinomial", 1, 0.5),
    **laws("Multinomial", 1, [0.5, 0.5]),
    **laws("Poisson Exponential Chi2 StudentT HalfNormal HalfCauchy", 1.0),
    **laws("Normal LogNormal Cauchy Gumbel Laplace Logistic Uniform", 0.0, 1.0),
    **laws("Gamma Pareto Weibull Beta Kumaraswamy", 1.0, 1.0),
    **laws("MultivariateNormal", tg.zeros(2), SQUARE),
    **laws("Independent", NORMAL, 1),
    **laws("MixtureSameFamily", tg.distributions.Categorical([0.5, 0.5]), NORMAL),
    **laws("TransformedDistribution", NORMAL, [tg.distributions.Exp()]),
    **dict.fromkeys(("grad", "value_and_grad", "jacobian", "hessian"), (tg.sum,)),
    "vjp": (tg.sum, X),
    "jvp": (tg.sum, (X,), (X,)),
    "linearize": (tg.sum, X),
    "hvp": (tg.sum, X, X),
    "gelu": (X,),
    "attention_weights": (HEADS, HEADS),
    "scaled_dot_product_attention": (HEADS, HEADS, HEADS),
    **dict.fromkeys(("zeros", "ones", "rand", "randn", "arange", "eye"), (3,)),
    **dict.fromkeys(("zeros_like", "ones_like", "rand_like", "randn_like"), (X,)),
    "full": ((2,), 1.0),
    "full_like": (X, 1.0),
    "linspace": (0, 1),
    **dict.fromkeys(("avg_pool2d", "max_pool2d", "adaptive_max_pool2d"), (IMAGE, 2)),
    **dict.fromkeys(("avg_pool1d", "max_pool1d", "adaptive_max_pool1d"), (SEQUENCE, 2)),
    **dict.fromkeys(
        ("avg_pool3d", "max_pool3d", "adaptive_max_pool3d"), (tg.ones((1, 1, 2, 2, 2)), 2)
    ),
    "lp_pool3d": (tg.ones((1, 1, 2, 2, 2)), 2, 2),
    "lp_pool1d": (SEQUENCE, 2, 2),
    "lp_pool2d": (IMAGE, 2, 2),
    "interpolate": (IMAGE, 2),
    "affine_grid": (tg.ones((1, 2, 3)), (1, 1, 2, 2)),
    "grid_sample": (tg.ones((1, 1, 2, 2)), tg.zeros((1, 2, 2, 2))),
    "embedding": (X, np.array([0])),
    "index_reduce": (X, np.array([0]), X[:1]),
    "linear_scan": (X, X),
    "dropout": (X,),
    "multinomial": (X, 1),
    "rnn": gates(1, 1),
    "gru": gates(3, 4),
    "lstm": gates(4, 4),
    "optim.clip_grad_norm": ([LEAF], 1.0),
    "optim.SGD": ([LEAF], 0.1),
    "optim.Adam": ([LEAF],),
    "optim.AdamW": ([LEAF],),
    **dict.fromkeys(("optim.RMSprop", "optim.Adagrad", "optim.NAdam", "optim.RAdam"), ([LEAF],)),
    **dict.fromkeys(("optim.Adamax", "optim.Adadelta", "optim.Rprop", "optim.Lion"), ([LEAF],)),
    **dict.fromkeys(("optim.Adan", "optim.Adafactor"), ([LEAF],)),
    "optim.SparseAdam": ([LEAF],),
    "optim.Muon": ([tg.ones((2, 2), requires_grad=True)],),
    "optim.OneCycleLR": (tg.optim.Adam([LEAF]), 1.0, 10),
    "optim.CyclicLR": (tg.optim.Adam([LEAF]), 0.1, 1.0),
    "optim.GradScaler": (),
    "data.mnist": (),
    "data.tiny_shakespeare": (),
    "data.DataLoader": (tg.data.Dataset(np.arange(4)),),
    "data.WeightedSampler": ([1, 1],),
    "data.BucketSampler": ([1, 1], 1),
    "data.StreamLoader": (list,),
    "data.Map": (tg.data.DataLoader(tg.data.Dataset(np.arange(4))), len),
    **dict.fromkeys(
        (
            *("nn.Module.register_forward_hook", "nn.Module.register_forward_pre_hook"),
            *("nn.Module.register_full_backward_hook", "nn.Module.register_full_backward_pre_hook"),
        ),
        (nn.ReLU(), len),
    ),
    "nn.Module.register_buffer": (nn.Dense(2, 2), "table", tg.ones(2)),
    "nn.Module.load_state_dict": (nn.ReLU(), {}),
    "nn.Module.train": (nn.ReLU(),),
    "nn.Module.requires_grad_": (nn.Dense(2, 2),),
    "nn.unparametrize": (nn.parametrize(nn.Dense(2, 2), "weight", nn.WeightNorm()), "weight"),
    "nn.GELU": (),
    "nn.MultiHeadAttention": (2, 1),
    "nn.MultiHeadAttention.forward": (attention(), SEQUENCE),
    **dict.fromkeys(("nn.AvgPool1D", "nn.AvgPool2D", "nn.AvgPool3D"), (2,)),
    **dict.fromkeys(("nn.MaxPool1D", "nn.MaxPool2D", "nn.MaxPool3D"), (2,)),
    **dict.fromkeys(("nn.AdaptiveMaxPool1D", "nn.AdaptiveMaxPool2D", "nn.Upsample"), (2,)),
    "nn.AdaptiveMaxPool3D": (2,),
    **dict.fromkeys(("nn.LpPool1D", "nn.LpPool2D", "nn.LpPool3D"), (2, 2)),
    "nn.FeedForward": (2, 2),
    "nn.SwiGLU": (2, 2),
    "nn.InstanceNorm": (2,),
    "nn.Bilinear": (2, 2, 2),
    "nn.PairwiseDistance": (),
    "nn.MixtureOfExperts": (2, 2, 2),
    "nn.MixtureOfExperts.forward": (nn.MixtureOfExperts(2, 2, 2), SEQUENCE),
    "nn.StateSpace.forward": (nn.StateSpace(2), SEQUENCE),
    **dict.fromkeys(("nn.Conv1D", "nn.Conv2D", "nn.Conv3D"), (2, 2, 3)),
    **dict.fromkeys(("nn.ConvTranspose1D", "nn.ConvTranspose2D", "nn.ConvTranspose3D"), (2, 2, 3)),
    **dict.fromkeys(("nn.Dense", "nn.RNN", "nn.GRU", "nn.LSTM"), (2, 2)),
    "nn.Embedding": (2, 2),
    "nn.BatchNorm": (2,),
    "nn.LayerNorm": (2,),
    "nn.RMSNorm": (2,),
    "nn.GroupNorm": (1, 2),
    "nn.BERT": (2, 1, 2, 1, 1),
    "nn.TransformerEncoderLayer": (2, 1, 2),
    "nn.TransformerDecoderLayer": (2, 1, 2),
    "nn.TransformerEncoderLayer.forward": (nn.TransformerEncoderLayer(2, 1, 2), SEQUENCE),
    "nn.TransformerEncoder.forward": (nn.TransformerEncoder(2, 1, 2, 1), SEQUENCE),
    "nn.TransformerDecoderLayer.forward": (nn.TransformerDecoderLayer(2, 1, 2), SEQUENCE, SEQUENCE),
    "nn.TransformerDecoder.forward": (nn.TransformerDecoder(2, 1, 2, 1), SEQUENCE, SEQUENCE),
}
NONSENSE = ("no", "", 0, 1, None, [], np.ones(1, bool))


def public():
    """(name, function or class) of all that has a public name, methods included."""
    rooms = {"": tg, "losses.": tg.losses, "optim.": tg.optim, "data.": tg.data, "io.": tg.io}
    rooms |= {"nn.": nn, "nn.init.": nn.init, "interchange.": tg.interchange}
    rooms |= {"linalg.": tg.linalg, "special.": tg.special, "distributions.": tg.distributions}
    for room, module in rooms.items():
        for name in dir(module):  # with what is loaded on use
            value = getattr(module, name)
            if name.startswith("_") or not callable(value):
                continue
            yield room + name, value
            if inspect.isclass(value):
                for owner in (value, *unnamed_bases(value, module)):
                    for method, function in vars(owner).items():
                        is_its_own = inspect.getattr_static(value, method) is function
                        if method[0] != "_" and is_its_own:
                            yield f"{room}{name}.{method}", function


def unnamed_bases(value, module):
    """The bases of a class that are a part of it: those before the first with a public name."""
    return itertools.takewhile(
        lambda base: base is not object and base.__name__ not in vars(module), value.__mro__[1:]
    )


def flags():
    """Each once: {(name of the function, name of the flag): function}."""
    found, seen = {}, set()
    for name, function in public():
        try:
            parameters = inspect.signature(function).parameters.values()
        except (TypeError, ValueError):
            continue
        if id(function) not in seen:
            seen.add(id(function))
            name = name.removeprefix("Tensor.")
            found |= {(name, p.name): function for p in parameters if isinstance(p.default, bool)}
    return found


FLAGS = flags()


def test_every_flag_has_a_call():
    assert {name for name, _ in FLAGS} == CALLS.keys()
    assert len(FLAGS) > 80


def room_of(name, flag):
    """The room that has a function, by which flags share a test: nn of nn.Dense."""
    return name.rpartition(".")[0] or "tg"


@grouped("name flag", FLAGS, by=room_of)
def test_a_flag_is_true_or_false(name, flag):
    expected = r"^\[[\w.]+\] \w+ is .*, expected (True or False|'none' or 'tanh')"
    for value in NONSENSE:
        with pytest.raises(ValueError, match=expected):
            FLAGS[name, flag](*CALLS[name], **{flag: value})


# But for `progress`: those calls read or download a file.
@grouped("name flag", [key for key in FLAGS if key[1] != "progress"], by=room_of)
def test_a_flag_may_be_numpys(name, flag):
    default = inspect.signature(FLAGS[name, flag]).parameters[flag].default
    FLAGS[name, flag](*CALLS[name], **{flag: np.bool_(default)})
