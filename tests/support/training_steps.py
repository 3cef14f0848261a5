"""Functions that make one step of a training, for tests that take many of them."""

import numpy as np

import tinygrad_like as tg
from tinygrad_like import Tensor, nn

MODELS = {
    "gpt": lambda vocabulary: nn.GPT(vocabulary, 8, 8, 1, 2, dropout=0.1),
    "lstm": lambda vocabulary: nn.RecurrentLM("lstm", vocabulary, 8, 1, 0.1),
}


def mlp_step():
    """A step of two products, written with ops alone."""
    rng = np.random.default_rng(0)
    ws = [Tensor(rng.standard_normal(s) * 0.3, requires_grad=True) for s in ((8, 16), (16, 4))]
    x, y = Tensor(rng.standard_normal((4, 8))), Tensor(np.array([0, 1, 2, 3]))

    def step():
        h = tg.relu(x @ ws[0])
        loss = -tg.take_along_axis(tg.log_softmax(h @ ws[1]), y.reshape(4, 1), 1).mean()
        loss.backward()
        with tg.no_grad():
            for w in ws:
                w -= 0.01 * w.grad
                w.zero_grad()
        return loss

    return step


def language_model_step(name):
    """A step of a small language model, with all that such a step has."""
    text = tg.data.text_corpus()[:10_000]
    vocabulary = tg.data.Vocabulary(text)
    model = MODELS[name](len(vocabulary))
    optimizer = tg.optim.AdamW(tg.optim.decay_groups(model, 0.1), 1e-3)
    schedule = tg.optim.CosineLR(optimizer, 4000, warmup_steps=100)
    batches = iter(tg.data.TextBatches(vocabulary.encode(text), 8, 4, seed=0))

    def step():
        x, y = map(tg.Tensor, next(batches))
        loss = tg.losses.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        tg.optim.clip_grad_norm(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        return loss.item()

    return step
