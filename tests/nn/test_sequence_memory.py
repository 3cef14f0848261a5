"""The memory of sequence models: long contexts without their scores, many steps without growth."""

import subprocess
import sys

import pytest
from resident import growth_in_a_new_process, needs_proc
from training_steps import language_model_step

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


@pytest.mark.long
@needs_proc
@pytest.mark.parametrize("model", ["gpt", "lstm"])
def test_2_000_steps_of_a_language_model_grow_the_process_by_less_than_1_mb(model):
    """The whole process, with the cyclic collector off: data, dropout, clipping, schedule too."""
    growth = growth_in_a_new_process(language_model_step, model, warm_up=500, steps=2_000)
    assert growth < 2**20, f"{growth} bytes"
