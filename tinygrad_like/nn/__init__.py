"""Layers: Modules with parameters, each one formula over the ops.

    module.py      Module: calls, states, training mode, moves
    holder.py      what a Module holds by path: parameters, buffers, and what a forward keeps
    state.py       what does not fit, and what an assignment over a parameter does
    summary.py     the table of a model
    undone.py      what is done to modules for a while, and then taken back
    arguments.py   checks of what constructors are given
    dtype.py       inputs cast to the dtype of a layer's parameters
    init.py        starting values
    containers.py  ModuleList, Sequential
    language.py    RecurrentLM; how a language model writes

A layer of your own is a Module with a `forward`; its attributes are its parameters:

    class Block(nn.Module):
        def __init__(self, n):
            self.dense = nn.Dense(n, n)

        def forward(self, x):
            return x + tg.relu(self.dense(x))
"""

from tinygrad_like.nn import init
from tinygrad_like.nn.activation import (
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
from tinygrad_like.nn.attention import AdditiveAttention, KeyValueCache, MultiHeadAttention
from tinygrad_like.nn.containers import ModuleList, Sequential
from tinygrad_like.nn.conv import (
    AvgPool2D,
    Conv1D,
    Conv2D,
    ConvTranspose2D,
    Flatten,
    GlobalAvgPool2D,
    MaxPool2D,
)
from tinygrad_like.nn.dense import Dense
from tinygrad_like.nn.embedding import Embedding
from tinygrad_like.nn.gpt import GPT
from tinygrad_like.nn.language import RecurrentLM, choose, generate
from tinygrad_like.nn.module import Module
from tinygrad_like.nn.norm import BatchNorm, Dropout, GroupNorm, LayerNorm, RMSNorm
from tinygrad_like.nn.position import LearnedPositions, PositionalEncoding
from tinygrad_like.nn.recurrent import GRU, LSTM, RNN, detach_state
from tinygrad_like.nn.state import StateError, StateReport
from tinygrad_like.nn.transformer import (
    FeedForward,
    TransformerDecoder,
    TransformerDecoderLayer,
    TransformerEncoder,
    TransformerEncoderLayer,
)

__all__ = [
    "ELU",
    "GELU",
    "GPT",
    "GRU",
    "LSTM",
    "RNN",
    "AdditiveAttention",
    "AvgPool2D",
    "BatchNorm",
    "Conv1D",
    "Conv2D",
    "ConvTranspose2D",
    "Dense",
    "Dropout",
    "Embedding",
    "FeedForward",
    "Flatten",
    "GlobalAvgPool2D",
    "GroupNorm",
    "KeyValueCache",
    "LayerNorm",
    "LeakyReLU",
    "LearnedPositions",
    "MaxPool2D",
    "Module",
    "ModuleList",
    "MultiHeadAttention",
    "PositionalEncoding",
    "RMSNorm",
    "ReLU",
    "RecurrentLM",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "StateError",
    "StateReport",
    "Tanh",
    "TransformerDecoder",
    "TransformerDecoderLayer",
    "TransformerEncoder",
    "TransformerEncoderLayer",
    "choose",
    "detach_state",
    "generate",
    "init",
]
