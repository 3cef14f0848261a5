"""GPT: a stack of causal transformer blocks that predicts the next token."""

import math
from typing import Any

import numpy as np

from tinygrad_like.backend import Undoing
from tinygrad_like.engine import Tensor, no_grad
from tinygrad_like.nn.base import arguments, init
from tinygrad_like.nn.base.undone import attributes_back
from tinygrad_like.nn.layers.attention import KeyValueCache
from tinygrad_like.nn.layers.containers import ModuleList
from tinygrad_like.nn.layers.embedding import Embedding
from tinygrad_like.nn.layers.norm import Dropout, LayerNorm
from tinygrad_like.nn.layers.position import LearnedPositions
from tinygrad_like.nn.layers.transformer import TransformerEncoderLayer
from tinygrad_like.nn.models.generation import LanguageModel
from tinygrad_like.ops.matrices.linalg import matmul


class GPT(LanguageModel):
    """logits = norm(blocks(token[ids] + position)) token^T: ids (N, T) -> (N, T, vocabulary).

    Args:
        vocabulary: the number of tokens.
        context: the longest sequence.
        d_model, num_layers, num_heads: width, number of blocks, attention heads in each.
        dropout: on embeddings, attention weights and the output of each sublayer.
        activation: of the feed-forward, of width 4 d_model; GPT-2's is "gelu_tanh".

    The token embedding serves at both ends. Weights start as N(0, 0.02^2), with the deviation
    divided by sqrt(2 num_layers) where they write into the residual stream; biases start at 0.

    Source: Radford et al. 2019, "Language models are unsupervised multitask learners".
    """

    def __init__(
        self,
        vocabulary: int,
        context: int,
        d_model: int = 128,
        num_layers: int = 4,
        num_heads: int = 4,
        *,
        dropout: float = 0.0,
        activation: str = "gelu_tanh",
    ):
        self.context = arguments.integer("GPT", "context", context)
        self.token = Embedding(vocabulary, d_model)
        self.position = LearnedPositions(context, d_model)
        self.dropout = Dropout(dropout)
        self.blocks = ModuleList(
            TransformerEncoderLayer(
                d_model, num_heads, 4 * d_model, dropout=dropout, activation=activation
            )
            for _ in range(arguments.integer("GPT", "num_layers", num_layers))
        )
        self.norm = LayerNorm(d_model)
        self._start()

    def _start(self) -> None:
        """Replace the layers' own starting weights by those of a GPT."""
        into_residual = 0.02 / math.sqrt(2 * len(self.blocks))
        with no_grad():
            for path, p in self.named_parameters():
                if p.ndim == 2:
                    last = path.endswith(("attention.out.weight", "feed_forward.down.weight"))
                    p[...] = init.normal(p.shape, 0.0, into_residual if last else 0.02)
                elif path.endswith(".bias"):
                    p[...] = 0.0

    def forward(self, ids: Any, *, cache: KeyValueCache | None = None) -> Tensor:
        """The logits of the next token at every position.

        With a cache, `ids` are the tokens after those that the cache has seen.

        Raises ValueError for more tokens than the context, IndexError for ids out of range,
        TypeError for ids that are not integers.
        """
        arguments.tensor("GPT", "ids", ids)
        if ids.ndim != 2:
            raise ValueError(f"[GPT] ids are {ids.shape}, expected (N, T)")
        start = 0 if cache is None else cache.length
        end = start + ids.shape[1]
        if end > self.context:
            raise ValueError(
                f"[GPT] the sequence has {end} tokens, more than the context of {self.context}"
            )
        return self._logits(self.position(self.token(ids), offset=start), cache)

    def _logits(self, x: Tensor, cache: KeyValueCache | None, mask: Any = None) -> Tensor:
        """The logits after embedded tokens (N, T, d_model)."""
        x = self.dropout(x)
        for block in self.blocks:
            x = block(x, mask=mask, causal=True, cache=cache)
        return matmul(self.norm(x), self.token.weight.T)

    def continued(self, ids: Any, state: Any = None) -> tuple[Tensor, Any]:
        """The logits of the token after a text, (vocabulary,), and a state to go on from.

        `ids` (T,) are the new part of the text; `state` is None, or what the previous call
        returned. A text may be longer than the context: when the cache is full, the last half of
        the context is read again.

        >>> from tinygrad_like.nn import GPT
        >>> gpt = GPT(11, context=8, d_model=16, num_layers=1, num_heads=2)
        >>> logits, state = gpt.continued(np.array([3, 1, 4]))
        >>> logits, state = gpt.continued(np.array([1]), state)
        >>> logits.shape
        (11,)
        """
        seen, cache = state or (ids[:0], KeyValueCache())
        ids = ids[-self.context :]
        seen = np.concatenate([seen, ids])
        if cache.length + len(ids) > self.context:
            seen = seen[-max(1, self.context // 2) :]
            ids, cache = seen, KeyValueCache()
        return self(ids[None], cache=cache)[0, -1], (seen, cache)

    def continued_texts(self, texts: Any, state: Any = None) -> tuple[Tensor, Any]:
        """The logits of the token after each of several texts, (N, vocabulary), and a state.

        `texts` are N integer arrays: whole texts of any lengths in the first call, one new token
        each in those after it. A text is cut as by `continued` when the context is full.

        Shorter texts stand behind padding, at which nobody looks.
        """
        seen, cache, padding = state or ([text[:0] for text in texts], KeyValueCache(), np.zeros(0))
        seen = [np.concatenate(pair) for pair in zip(seen, texts, strict=True)]
        longest = max(map(len, seen))
        if state is None or longest > self.context:
            kept = max(1, self.context // 2)
            texts = seen = [t if len(t) <= self.context else t[-kept:] for t in seen]
            longest, cache = max(map(len, texts)), KeyValueCache()
            padding = np.array([[longest - len(text)] for text in texts])
        ids = np.stack([np.pad(t, (max(map(len, texts)) - len(t), 0)) for t in texts])
        if not padding.any():
            return self(ids, cache=cache)[:, -1], (seen, cache, padding)
        places = np.arange(cache.length + ids.shape[1])
        positions = np.maximum(places[cache.length :] - padding, 0)
        x = self.token(ids) + self.position.weight[positions]
        mask = Tensor((places >= padding)[:, None, None], device=x.device)
        return self._logits(x, cache, mask)[:, -1], (seen, cache, padding)

    def attention_maps(self, ids: Any) -> np.ndarray:
        """What each head of each block looks at in a text `ids` (T,): (blocks, heads, T, T).

        Computed as in evaluation: without dropout, and nothing is recorded.
        """
        with Undoing(attributes_back(self, "training")), no_grad():
            self.eval()
            x, maps = self.position(self.token(ids[None])), []
            for block in self.blocks:
                _, weights = block.attention(block.norm1(x), causal=True, return_weights=True)
                maps.append(weights.numpy()[0])
                x = block(x, causal=True)
            return np.stack(maps)
