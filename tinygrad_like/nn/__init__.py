"""Layers: Modules with parameters, each one formula over the ops.

    base      what every layer stands on:
              module.py      Module: calls, states, training mode, moves
              holder.py      what a Module holds by path: parameters, buffers, what a forward keeps
              hooks.py       hooks: functions that see what goes into a call and comes out
              gates.py       where hooks see gradients
              patterns.py    patterns of paths, such as `blocks.*.bias`
              state.py       loading states, reports of what does not fit, assignments to parameters
              summary.py     the table of a model
              undone.py      changes to modules that are undone after a while
              arguments.py   checks of the arguments of layers
              dtype.py       inputs cast to the dtype of a layer's parameters
              init.py        starting values
              computed.py    weights that are computed from stored parameters
              parametrize.py makes a weight such a one, and ordinary again
              parametrizations.py  weight norm, spectral norm, orthogonal matrices, low rank
    layers    the layers, by kind
    models    whole models: GPT, RecurrentLM, and text that they generate; beam search; labels from
              the frames of a model trained by `tg.losses.ctc`; BERT and its heads

A layer of your own is a Module with a `forward`; its attributes are its parameters:

    class Block(nn.Module):
        def __init__(self, n):
            self.dense = nn.Dense(n, n)

        def forward(self, x):
            return x + tg.relu(self.dense(x))

Left out of PyTorch's: Lazy layers, as a layer has its parameters when it is made; layers that only
pad, which `tg.pad` does; RNNCell and its like, which are a layer called with one step; Transformer,
which is TransformerEncoder and TransformerDecoder; FractionalMaxPool, whose windows are random.
"""

from tinygrad_like.nn.base import init
from tinygrad_like.nn.base.computed import Parametrization
from tinygrad_like.nn.base.module import Module
from tinygrad_like.nn.base.parametrizations import LowRank, Orthogonal, SpectralNorm, WeightNorm
from tinygrad_like.nn.base.parametrize import parametrize, unparametrize
from tinygrad_like.nn.base.state import StateError, StateReport
from tinygrad_like.nn.layers.activation import (
    ELU,
    GELU,
    LeakyReLU,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from tinygrad_like.nn.layers.attention import AdditiveAttention, KeyValueCache, MultiHeadAttention
from tinygrad_like.nn.layers.containers import ModuleList, Sequential
from tinygrad_like.nn.layers.conv import Conv1D, Conv2D, ConvTranspose2D
from tinygrad_like.nn.layers.conv_nd import Conv3D, ConvTranspose1D, ConvTranspose3D
from tinygrad_like.nn.layers.curves import (
    CELU,
    GLU,
    SELU,
    Hardshrink,
    Hardsigmoid,
    Hardswish,
    Hardtanh,
    LogSigmoid,
    LogSoftmax,
    Mish,
    PReLU,
    ReLU6,
    Softshrink,
    Softsign,
    SwiGLU,
    Tanhshrink,
    Threshold,
)
from tinygrad_like.nn.layers.dense import Dense
from tinygrad_like.nn.layers.dropout import (
    AlphaDropout,
    Dropout2D,
)
from tinygrad_like.nn.layers.embedding import Embedding, EmbeddingBag
from tinygrad_like.nn.layers.experts import MixtureOfExperts
from tinygrad_like.nn.layers.local import (
    InstanceNorm,
    LocalResponseNorm,
)
from tinygrad_like.nn.layers.norm import BatchNorm, Dropout, GroupNorm, LayerNorm, RMSNorm
from tinygrad_like.nn.layers.pairs import (
    Bilinear,
    CosineSimilarity,
    PairwiseDistance,
)
from tinygrad_like.nn.layers.pool import (
    AdaptiveAvgPool1D,
    AdaptiveAvgPool2D,
    AdaptiveAvgPool3D,
    AdaptiveMaxPool1D,
    AdaptiveMaxPool2D,
    AdaptiveMaxPool3D,
    AvgPool1D,
    AvgPool2D,
    AvgPool3D,
    GlobalAvgPool2D,
    LpPool1D,
    LpPool2D,
    LpPool3D,
    MaxPool1D,
    MaxPool2D,
    MaxPool3D,
)
from tinygrad_like.nn.layers.position import LearnedPositions, PositionalEncoding
from tinygrad_like.nn.layers.recurrent import GRU, LSTM, RNN, detach_state
from tinygrad_like.nn.layers.shapes import (
    Flatten,
    Identity,
    PixelShuffle,
    PixelUnshuffle,
    Unflatten,
    Upsample,
)
from tinygrad_like.nn.layers.space import StateSpace
from tinygrad_like.nn.layers.transformer import (
    FeedForward,
    TransformerDecoder,
    TransformerDecoderLayer,
    TransformerEncoder,
    TransformerEncoderLayer,
)
from tinygrad_like.nn.models.beam import beam_search
from tinygrad_like.nn.models.bert import (
    BERT,
    BERTForMaskedLM,
    BERTForNextSentencePrediction,
    BERTForPreTraining,
    BERTForSequenceClassification,
    BERTForTokenClassification,
)
from tinygrad_like.nn.models.ctc import ctc_align, ctc_beam, ctc_greedy
from tinygrad_like.nn.models.generation import choose, generate
from tinygrad_like.nn.models.gpt import GPT
from tinygrad_like.nn.models.language import RecurrentLM

__all__ = [
    "BERT",
    "CELU",
    "ELU",
    "GELU",
    "GLU",
    "GPT",
    "GRU",
    "LSTM",
    "RNN",
    "SELU",
    "AdaptiveAvgPool1D",
    "AdaptiveAvgPool2D",
    "AdaptiveAvgPool3D",
    "AdaptiveMaxPool1D",
    "AdaptiveMaxPool2D",
    "AdaptiveMaxPool3D",
    "AdditiveAttention",
    "AlphaDropout",
    "AvgPool1D",
    "AvgPool2D",
    "AvgPool3D",
    "BERTForMaskedLM",
    "BERTForNextSentencePrediction",
    "BERTForPreTraining",
    "BERTForSequenceClassification",
    "BERTForTokenClassification",
    "BatchNorm",
    "Bilinear",
    "Conv1D",
    "Conv2D",
    "Conv3D",
    "ConvTranspose1D",
    "ConvTranspose2D",
    "ConvTranspose3D",
    "CosineSimilarity",
    "Dense",
    "Dropout",
    "Dropout2D",
    "Embedding",
    "EmbeddingBag",
    "FeedForward",
    "Flatten",
    "GlobalAvgPool2D",
    "GroupNorm",
    "Hardshrink",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "Identity",
    "InstanceNorm",
    "KeyValueCache",
    "LayerNorm",
    "LeakyReLU",
    "LearnedPositions",
    "LocalResponseNorm",
    "LogSigmoid",
    "LogSoftmax",
    "LowRank",
    "LpPool1D",
    "LpPool2D",
    "LpPool3D",
    "MaxPool1D",
    "MaxPool2D",
    "MaxPool3D",
    "Mish",
    "MixtureOfExperts",
    "Module",
    "ModuleList",
    "MultiHeadAttention",
    "Orthogonal",
    "PReLU",
    "PairwiseDistance",
    "Parametrization",
    "PixelShuffle",
    "PixelUnshuffle",
    "PositionalEncoding",
    "RMSNorm",
    "ReLU",
    "ReLU6",
    "RecurrentLM",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Softshrink",
    "Softsign",
    "SpectralNorm",
    "StateError",
    "StateReport",
    "StateSpace",
    "SwiGLU",
    "Tanh",
    "Tanhshrink",
    "Threshold",
    "TransformerDecoder",
    "TransformerDecoderLayer",
    "TransformerEncoder",
    "TransformerEncoderLayer",
    "Unflatten",
    "Upsample",
    "WeightNorm",
    "beam_search",
    "choose",
    "ctc_align",
    "ctc_beam",
    "ctc_greedy",
    "detach_state",
    "generate",
    "init",
    "parametrize",
    "unparametrize",
]
