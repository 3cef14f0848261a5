"""The models of translate.py: an encoder of written dates, and a decoder with attention to it.

Both have `encode(written)`, whose two results `decode` and `alignment` read beside the characters
before. `MODELS` names them.
"""

from dates import ISO, PADDING, WRITTEN

import tinygrad_like as tg
from tinygrad_like import nn

START = len(ISO)  # stands before the first character of an ISO date


class RecurrentTranslator(nn.Module):
    """keys = both LSTMs(written), h = LSTM(iso), logits = Dense(tanh(Dense([h, attention]))).

    The decoder starts from zeros: all that it knows of the date comes through the attention.
    """

    def __init__(self, width, layers, dropout):
        self.written = nn.Embedding(1 + len(WRITTEN), width)
        self.iso = nn.Embedding(len(ISO) + 1, width)
        self.encoder = nn.LSTM(width, width // 2, layers, bidirectional=True, dropout=dropout)
        self.decoder = nn.LSTM(width, width, layers, dropout=dropout)
        self.attention = nn.AdditiveAttention(width, width, width)
        self.mix = nn.Dense(2 * width, width)
        self.head = nn.Dense(width, len(ISO))
        self.dropout = nn.Dropout(dropout)

    def encode(self, written):
        """(memory (N, S, width), which of it is no padding (N, S))."""
        seen = written != PADDING
        keys, _ = self.encoder(self.dropout(self.written(written)), lengths=seen.sum(axis=1))
        return keys, seen

    def decode(self, before, memory, seen, state=None):
        """The logits after each of the characters `before`, and the state to go on from."""
        h, state = self.decoder(self.iso(before), state)
        context, _ = self.attention(h, memory, mask=seen[:, None])
        mixed = tg.tanh(self.mix(tg.concatenate([h, context], axis=-1)))
        return self.head(self.dropout(mixed)), state

    def alignment(self, before, memory, seen):
        """Where each step of the decoder looks: (N, T, S)."""
        h, _ = self.decoder(self.iso(before))
        return self.attention(h, memory, mask=seen[:, None])[1]


class TransformerTranslator(nn.Module):
    """logits = Dense(decoder(iso + position, encoder(written + position)))."""

    def __init__(self, width, layers, dropout):
        self.written = nn.Embedding(1 + len(WRITTEN), width)
        self.iso = nn.Embedding(len(ISO) + 1, width)
        self.position = nn.PositionalEncoding(width)
        options = {"dropout": dropout, "activation": "relu"}
        self.encoder = nn.TransformerEncoder(width, 4, 2 * width, layers, **options)
        self.decoder = nn.TransformerDecoder(width, 4, 2 * width, layers, **options)
        self.head = nn.Dense(width, len(ISO))
        self.dropout = nn.Dropout(dropout)

    def encode(self, written):
        """(memory (N, S, width), which of it is no padding (N, S))."""
        seen = written != PADDING
        x = self.dropout(self.position(self.written(written)))
        return self.encoder(x, mask=seen[:, None, None]), seen

    def decode(self, before, memory, seen, state=None):
        """The logits after each of the characters `before`, and the state to go on from."""
        cache = state or nn.KeyValueCache()
        x = self.dropout(self.position(self.iso(before), offset=cache.length))
        x = self.decoder(x, memory, memory_mask=seen[:, None, None], cache=cache)
        return self.head(x), cache

    def alignment(self, before, memory, seen):
        """Where the heads of the last decoder layer look, on average: (N, T, S)."""
        mask = seen[:, None, None]
        x = self.position(self.iso(before))
        *below, last = self.decoder.layers
        for layer in below:
            x = layer(x, memory, memory_mask=mask)
        x = x + last.attention(last.norm1(x), causal=True)
        _, weights = last.cross_attention(last.norm2(x), memory, mask=mask, return_weights=True)
        return weights.mean(axis=1)


MODELS = {"lstm": RecurrentTranslator, "transformer": TransformerTranslator}
