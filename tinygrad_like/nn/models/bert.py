"""BERT: transformer blocks that see a whole text, and the heads that are trained on them.

    BERT                                a vector for each token, and one for the text
    BERTForPreTraining                  masked tokens and the next sentence, the two first tasks
    BERTForMaskedLM, BERTForNextSentencePrediction      one of the two
    BERTForSequenceClassification       a class for each text
    BERTForTokenClassification          a class for each token

A head takes the BERT that it stands on, `model.bert`, so a pretrained one moves from head to head:

    bert = nn.BERT(vocabulary=8000, context=128)
    pretrained = nn.BERTForPreTraining(bert)              # train this one on texts without labels
    classifier = nn.BERTForSequenceClassification(bert, 20)   # then this one on few with labels

All are called as BERT is: `model(ids, segments, key_padding_mask=padding)`. The names are Hugging
Face's; their `token_type_ids` are our `segments`, their `attention_mask` is the opposite of our
`key_padding_mask`. `tg.interchange.load_bert` reads their weights.
"""

from typing import Any

from tinygrad_like.engine import Tensor, no_grad
from tinygrad_like.nn.base import arguments, init
from tinygrad_like.nn.base.module import Module
from tinygrad_like.nn.layers.containers import ModuleList
from tinygrad_like.nn.layers.dense import Dense
from tinygrad_like.nn.layers.embedding import Embedding
from tinygrad_like.nn.layers.norm import Dropout, LayerNorm
from tinygrad_like.nn.layers.position import LearnedPositions
from tinygrad_like.nn.layers.transformer import ACTIVATIONS, TransformerEncoderLayer
from tinygrad_like.ops.elements.elementwise import tanh
from tinygrad_like.ops.matrices.linalg import linear


class BERT(Module):
    """x = norm(token[ids] + segment[segments] + position), hidden = blocks(x): a vector per token.

    pooled = tanh(hidden[:, 0] W + b), of the first token, stands for the whole text. The call gives
    (hidden (N, T, d_model), pooled (N, d_model)) for ids (N, T).

    Args:
        vocabulary: the number of tokens.
        context: the longest sequence.
        d_model, num_layers, num_heads: width, number of blocks, attention heads in each.
        d_ff: the width inside the feed-forward; by default 4 d_model.
        segments: how many kinds of segment there are, such as first and second sentence.
        dropout: on embeddings, attention weights, inside the feed-forward and on the output of each
            sublayer.
        activation: of the feed-forward and of the head for masked tokens: "gelu", "gelu_tanh",
            "relu" or "silu".
        eps: of the norms.
        pooler: without it `pooled` is None, which masked tokens and classes of tokens do not need.

    The blocks are post-norm, and so the learning rate has to warm up. Weights start as
    N(0, 0.02^2), biases at 0.

    Source: Devlin et al. 2019, "BERT: pre-training of deep bidirectional transformers for language
    understanding", section 3.

    >>> import numpy as np
    >>> from tinygrad_like import nn
    >>> bert = nn.BERT(vocabulary=50, context=16, d_model=8, num_layers=1, num_heads=2)
    >>> ids = np.array([[2, 7, 9, 3], [2, 8, 3, 0]])
    >>> hidden, pooled = bert(ids, key_padding_mask=ids == 0)
    >>> hidden.shape, pooled.shape
    ((2, 4, 8), (2, 8))
    """

    def __init__(
        self,
        vocabulary: int,
        context: int,
        d_model: int = 128,
        num_layers: int = 4,
        num_heads: int = 4,
        *,
        d_ff: int | None = None,
        segments: int = 2,
        dropout: float = 0.0,
        activation: str = "gelu",
        eps: float = 1e-12,
        pooler: bool = True,
    ):
        self.context = arguments.integer("BERT", "context", context)
        self.activation = activation
        self.token = Embedding(vocabulary, d_model)
        self.position = LearnedPositions(context, d_model)
        self.segment = Embedding(arguments.integer("BERT", "segments", segments), d_model)
        self.norm = LayerNorm(d_model, eps)
        self.dropout = Dropout(dropout)
        self.blocks = ModuleList(
            TransformerEncoderLayer(
                d_model,
                num_heads,
                4 * d_model if d_ff is None else d_ff,
                dropout=dropout,
                norm_first=False,
                activation=activation,
                eps=eps,
            )
            for _ in range(arguments.integer("BERT", "num_layers", num_layers))
        )
        self.pooler = Dense(d_model, d_model) if arguments.flag("BERT", "pooler", pooler) else None
        _start(self)

    def forward(
        self, ids: Any, segments: Any = None, *, key_padding_mask: Any = None
    ) -> tuple[Tensor, Tensor | None]:
        """(hidden, pooled) of texts.

        Args:
            ids: integers (N, T), of the tokens.
            segments: integers (N, T), of which segment each token is; all of the first by default.
            key_padding_mask: booleans (N, T), True where there is padding, at which none looks.

        Raises ValueError for no tokens, more than the context, and shapes that differ; IndexError
        for ids or segments out of range; TypeError for those that are not integers.
        """
        arguments.tensor("BERT", "ids", ids)
        if ids.ndim != 2:
            raise ValueError(f"[BERT] ids are {ids.shape}, expected (N, T)")
        if ids.shape[1] > self.context:
            raise ValueError(
                f"[BERT] the sequence has {ids.shape[1]} tokens, more than the context of "
                f"{self.context}; cut it, or make the model with a longer context"
            )
        if ids.shape[1] == 0 and self.pooler is not None:
            raise ValueError(
                f"[BERT] ids are {ids.shape}, expected at least one token, which the pooler takes"
            )
        for name, given in (("segments", segments), ("key_padding_mask", key_padding_mask)):
            if given is not None:
                arguments.tensor("BERT", name, given)
                if tuple(given.shape) != tuple(ids.shape):
                    raise ValueError(f"[BERT] {name} is {given.shape}, ids are {ids.shape}")
        kind = self.segment.weight[0] if segments is None else self.segment(segments)
        x = self.dropout(self.norm(self.position(self.token(ids) + kind)))
        for block in self.blocks:
            x = block(x, key_padding_mask=key_padding_mask)
        return x, None if self.pooler is None else tanh(self.pooler(x[:, 0]))


class BERTForMaskedLM(Module):
    """logits = norm(activation(hidden W + b)) token^T + c: ids (N, T) -> (N, T, vocabulary).

    The token embedding of the BERT serves here, too.

    >>> import numpy as np
    >>> from tinygrad_like import nn
    >>> model = nn.BERTForMaskedLM(nn.BERT(50, 16, d_model=8, num_layers=1, num_heads=2))
    >>> ids, masked = np.array([[2, 7, 4, 3]]), np.array([[False, False, True, False]])
    >>> model(ids).shape, model(ids, places=masked).shape
    ((1, 4, 50), (1, 50))
    """

    def __init__(self, bert: BERT):
        self.bert = _bert("BERTForMaskedLM", bert)
        self.tokens = MaskedTokens(bert)

    def forward(
        self, ids: Any, segments: Any = None, *, key_padding_mask: Any = None, places: Any = None
    ) -> Tensor:
        """The logits at every place, or those at `places` alone, as `MaskedTokens` gives them."""
        hidden, _ = self.bert(ids, segments, key_padding_mask=key_padding_mask)
        return self.tokens(hidden, self.bert.token.weight, places)


class BERTForNextSentencePrediction(Module):
    """logits = pooled W + b: ids (N, T) of two sentences -> (N, 2).

    Class 0: the second sentence follows the first; 1: it does not.

    >>> import numpy as np
    >>> from tinygrad_like import nn
    >>> bert = nn.BERT(50, 16, d_model=8, num_layers=1, num_heads=2)
    >>> ids, segments = np.array([[2, 7, 3, 9, 3]]), np.array([[0, 0, 0, 1, 1]])
    >>> nn.BERTForNextSentencePrediction(bert)(ids, segments).shape
    (1, 2)
    """

    def __init__(self, bert: BERT):
        self.bert = _pooling("BERTForNextSentencePrediction", bert)
        self.next = _start(Dense(bert.token.dim, 2))

    def forward(self, ids: Any, segments: Any = None, *, key_padding_mask: Any = None) -> Tensor:
        _, pooled = self.bert(ids, segments, key_padding_mask=key_padding_mask)
        return self.next(pooled)


class BERTForPreTraining(Module):
    """Both heads of the pretraining: ids (N, T) -> ((N, T, vocabulary), (N, 2)).

    The loss is the sum of two cross entropies: of the tokens at the places that were masked, and
    of whether the second sentence follows the first (class 0) or not (class 1).

    >>> import numpy as np
    >>> from tinygrad_like import nn
    >>> model = nn.BERTForPreTraining(nn.BERT(50, 16, d_model=8, num_layers=1, num_heads=2))
    >>> ids, segments = np.array([[2, 4, 3, 9, 3]]), np.array([[0, 0, 0, 1, 1]])
    >>> tokens, follows = model(ids, segments, places=ids == 4)
    >>> tokens.shape, follows.shape
    ((1, 50), (1, 2))
    """

    def __init__(self, bert: BERT):
        self.bert = _pooling("BERTForPreTraining", bert)
        self.tokens = MaskedTokens(bert)
        self.next = _start(Dense(bert.token.dim, 2))

    def forward(
        self, ids: Any, segments: Any = None, *, key_padding_mask: Any = None, places: Any = None
    ) -> tuple[Tensor, Tensor]:
        """(logits of tokens, logits of the next sentence); `places` as in BERTForMaskedLM."""
        hidden, pooled = self.bert(ids, segments, key_padding_mask=key_padding_mask)
        return self.tokens(hidden, self.bert.token.weight, places), self.next(pooled)


class BERTForSequenceClassification(Module):
    """logits = dropout(pooled) W + b: ids (N, T) -> (N, classes).

    >>> import numpy as np
    >>> from tinygrad_like import nn
    >>> bert = nn.BERT(50, 16, d_model=8, num_layers=1, num_heads=2)
    >>> nn.BERTForSequenceClassification(bert, 3)(np.array([[2, 7, 9, 3]])).shape
    (1, 3)
    """

    def __init__(self, bert: BERT, classes: int):
        self.bert = _pooling("BERTForSequenceClassification", bert)
        classes = arguments.integer("BERTForSequenceClassification", "classes", classes)
        self.dropout = Dropout(bert.dropout.p)
        self.classifier = _start(Dense(bert.token.dim, classes))

    def forward(self, ids: Any, segments: Any = None, *, key_padding_mask: Any = None) -> Tensor:
        _, pooled = self.bert(ids, segments, key_padding_mask=key_padding_mask)
        return self.classifier(self.dropout(pooled))


class BERTForTokenClassification(Module):
    """logits = dropout(hidden) W + b: ids (N, T) -> (N, T, classes).

    >>> import numpy as np
    >>> from tinygrad_like import nn
    >>> bert = nn.BERT(50, 16, d_model=8, num_layers=1, num_heads=2, pooler=False)
    >>> nn.BERTForTokenClassification(bert, 5)(np.array([[2, 7, 9, 3]])).shape
    (1, 4, 5)
    """

    def __init__(self, bert: BERT, classes: int):
        self.bert = _bert("BERTForTokenClassification", bert)
        classes = arguments.integer("BERTForTokenClassification", "classes", classes)
        self.dropout = Dropout(bert.dropout.p)
        self.classifier = _start(Dense(bert.token.dim, classes))

    def forward(self, ids: Any, segments: Any = None, *, key_padding_mask: Any = None) -> Tensor:
        hidden, _ = self.bert(ids, segments, key_padding_mask=key_padding_mask)
        return self.classifier(self.dropout(hidden))


class MaskedTokens(Module):
    """The head for masked tokens: norm(activation(hidden W + b)) token^T + c.

    It is given the token embedding (vocabulary, d_model); `bias` c is (vocabulary,).
    """

    def __init__(self, bert: BERT):
        self.transform = Dense(bert.token.dim, bert.token.dim)
        self.activation = ACTIVATIONS[bert.activation]()
        self.norm = LayerNorm(bert.token.dim, bert.norm.eps)
        self.bias = init.zeros(bert.token.num)
        _start(self)

    def forward(self, hidden: Tensor, token: Tensor, places: Any = None) -> Tensor:
        """The logits of hidden (N, T, d_model): (N, T, vocabulary).

        With `places`, booleans (N, T), only those where it is True, row by row: (count,
        vocabulary). In pretraining that is a seventh of the places, and most of the arithmetic of
        a small model is in these logits.

        Raises ValueError for places of another shape, TypeError for such that are no booleans.
        """
        if places is not None:
            arguments.tensor("MaskedTokens", "places", places)
            if places.dtype != bool:
                raise TypeError(f"[MaskedTokens] places are {places.dtype}, expected booleans")
            if tuple(places.shape) != hidden.shape[:2]:
                raise ValueError(
                    f"[MaskedTokens] places are {places.shape}, expected {hidden.shape[:2]}"
                )
            hidden = hidden[places]
        return linear(self.norm(self.activation(self.transform(hidden))), token.T, self.bias)


def _start(module: Any) -> Any:
    """A part of a BERT with its starting weights in place of the layers' own."""
    with no_grad():
        for path, p in module.named_parameters():
            if p.ndim == 2:
                p[...] = init.normal(p.shape, 0.0, 0.02)
            elif path.endswith("bias"):
                p[...] = 0.0
    return module


def _bert(head: str, bert: Any) -> BERT:
    if not isinstance(bert, BERT):
        raise TypeError(f"[{head}] bert is a {type(bert).__name__}, expected an nn.BERT")
    return bert


def _pooling(head: str, bert: Any) -> BERT:
    if _bert(head, bert).pooler is None:
        raise ValueError(f"[{head}] needs an nn.BERT with a pooler, got one with pooler=False")
    return bert
