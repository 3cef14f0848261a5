"""A small Llama: the parts of today's language models, trained on the characters of a text.

    python examples/llama.py                    # tiny Shakespeare, a few minutes on two cores
    python examples/llama.py --text my.txt --steps 100

What differs from the GPT of char_lm.py, line by line: RMSNorm for LayerNorm; positions that turn
queries and keys (RoPE) instead of being added; two key heads that serve four query heads, which
halves the cache; a window, so that a long text is read as the passages of the training were; SwiGLU
for the two-layer feed-forward; and no biases.

Sources: Touvron et al. 2023, "LLaMA: open and efficient foundation language models"; Jiang et al.
2023, "Mistral 7B", for the window.
"""

import argparse
import time

import numpy as np
from corpus import load_text

import tinygrad_like as tg
from tinygrad_like import nn

CONTEXT, BATCH, WIDTH, LAYERS = 64, 16, 128, 4


class Block(nn.Module):
    def __init__(self, width):
        heads = {"num_kv_heads": 2, "rotary": True, "window": CONTEXT, "bias": False}
        self.attention = nn.MultiHeadAttention(width, 4, **heads)
        self.feed_forward = nn.SwiGLU(width, 8 * width // 3)
        self.norm1, self.norm2 = nn.RMSNorm(width), nn.RMSNorm(width)

    def forward(self, x, cache=None):
        x = x + self.attention(self.norm1(x), causal=True, cache=cache)
        return x + self.feed_forward(self.norm2(x))


class Llama(nn.Module):
    """ids (N, T) -> logits of the next character (N, T, vocabulary)."""

    def __init__(self, vocabulary, width=WIDTH, layers=LAYERS):
        self.token = nn.Embedding(vocabulary, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(layers))
        self.norm, self.head = nn.RMSNorm(width), nn.Dense(width, vocabulary, bias=False)

    def forward(self, ids, cache=None):
        x = self.token(ids)
        for block in self.blocks:
            x = block(x, cache)
        return self.head(self.norm(x))

    def continued(self, ids, cache=None):
        """What nn.generate asks for: the logits after some more text, and a state to go on from."""
        cache = cache or nn.KeyValueCache()
        return self(ids[None], cache)[0, -1], cache


def train(model, ids, steps):
    """Losses of all steps, each on random passages of the text."""
    optimizer = tg.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.1)
    schedule = tg.optim.CosineLR(optimizer, steps, warmup_steps=min(100, steps // 2))
    losses, start = [], time.perf_counter()
    for step in range(1, steps + 1):
        places = tg.randint(0, len(ids) - CONTEXT, (BATCH, 1)).numpy() + np.arange(CONTEXT + 1)
        passages = ids[places]
        loss = tg.losses.cross_entropy(model(passages[:, :-1]), passages[:, 1:])
        optimizer.zero_grad()
        loss.backward()
        tg.optim.clip_grad_norm(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if step % 100 == 0 or step == steps:
            seconds = time.perf_counter() - start
            print(f"step {step}: loss {np.mean(losses[-100:]):.3f} ({seconds:.0f} s)")
    return losses


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", help="a file to learn from")
    parser.add_argument("--steps", type=int, default=1000)
    args = parser.parse_args(arguments)
    tg.seed(0)
    name, text = load_text(args.text)
    letters = sorted(set(text))
    number = {letter: i for i, letter in enumerate(letters)}
    ids = np.array([number[letter] for letter in text])
    model = Llama(len(letters))
    print(f"{model.num_parameters():,} parameters learn from {name}, {len(text):,} characters")
    losses = train(model, ids, args.steps)
    found = nn.generate(model, ids[:CONTEXT], 300, temperature=0.8)
    print(text[:CONTEXT] + "".join(letters[i] for i in found))
    return losses


if __name__ == "__main__":
    main()
