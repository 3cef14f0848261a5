"""The memory of sequence models: long contexts without their scores, many steps without growth."""

import gc
import subprocess
import sys
from pathlib import Path

import pytest

import tinygrad_like as tg
from tinygrad_like import nn

STATUS = Path("/proc/self/status")
MODELS = {
    "gpt": lambda vocabulary: nn.GPT(vocabulary, 8, 8, 1, 2, dropout=0.1),
    "lstm": lambda vocabulary: nn.RecurrentLM("lstm", vocabulary, 8, 1, 0.1),
}

needs_proc = pytest.mark.skipif(
    not STATUS.exists(), reason="memory is read from /proc, which this system lacks"
)

LONG = """
import numpy as np
import tinygrad_like as tg

def peak():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))

def step(context):
    ids = np.random.default_rng(0).integers(0, 65, (2, context + 1))
    model.zero_grad()
    tg.losses.cross_entropy(model(ids[:, :-1]), ids[:, 1:]).backward()
    optimizer.step()

model = tg.nn.GPT(65, 1024, 32, 2, 16, dropout=0.1)
optimizer = tg.optim.AdamW(model.parameters())
step(64)
before = peak()
step(1024)
print(peak() - before)
"""


@needs_proc
def test_a_gpt_of_context_1024_trains_without_the_scores_of_all_heads():
    """What a step adds to the process, all its kernels loaded, against all scores of a layer."""
    found = subprocess.run(
        [sys.executable, "-W", "error", "-c", LONG], capture_output=True, text=True, timeout=120
    )
    assert found.returncode == 0, found.stderr
    grown, scores = int(found.stdout), 2 * 16 * 1024 * 1024 * 4
    assert grown < scores / 3, f"{grown / 2**20:.0f} MB, the scores are {scores / 2**20:.0f} MB"


@needs_proc
@pytest.mark.parametrize("model", ["gpt", "lstm"])
def test_2_000_steps_of_a_language_model_grow_the_process_by_less_than_1_mb(model):
    """The whole process, with the cyclic collector off: data, dropout, clipping, schedule too."""
    update = training(model)
    gc.disable()
    try:
        for _ in range(300):
            update()
        before = resident()
        for _ in range(2000):
            update()
        grown = resident() - before
    finally:
        gc.enable()
    assert grown < 2**20, f"{grown} bytes"


def training(name):
    """A function that makes one step of a small language model, with all that such a step has."""
    text = tg.data.text_corpus()[:10_000]
    vocabulary = tg.data.Vocabulary(text)
    model = MODELS[name](len(vocabulary))
    optimizer = tg.optim.AdamW(tg.optim.decay_groups(model, 0.1), 1e-3)
    schedule = tg.optim.CosineLR(optimizer, 4000, warmup_steps=100)
    batches = iter(tg.data.TextBatches(vocabulary.encode(text), 8, 4, seed=0))

    def update():
        x, y = map(tg.Tensor, next(batches))
        loss = tg.losses.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        tg.optim.clip_grad_norm(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        return loss.item()

    return update


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
