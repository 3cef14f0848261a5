"""Without numba the CPU computes by the reference kernels, says so once, and is right."""

import subprocess
import sys

import numpy as np
import pytest

# What a process runs before anything else: numba looks as if it were not installed.
BLOCKED = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("numba", "llvmlite"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
"""

TRAINING = """
import numpy as np
import tinygrad_like as tg
from tinygrad_like import nn

def train(model, x, labels, optimizer):
    tg.seed(1)
    optimizer = optimizer(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(3):
        loss = tg.losses.cross_entropy(model(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses

def cnn():
    tg.seed(0)
    model = nn.Sequential(
        nn.Conv2D(1, 4, 3, padding=1), nn.BatchNorm(4), nn.ReLU(), nn.MaxPool2D(2), nn.Flatten(),
        nn.Dropout(0.2), nn.Dense(4 * 4 * 4, 10),
    )
    return train(model, tg.randn((8, 1, 8, 8)), np.arange(8), tg.optim.SGD)

def gpt():
    tg.seed(0)
    model = nn.GPT(11, 8, 16, 1, 2, dropout=0.1)
    ids = np.arange(16).reshape(2, 8) % 11
    return train(model, tg.Tensor(ids), (ids + 1) % 11, tg.optim.AdamW)

class Recurrent(nn.Module):
    def __init__(self):
        self.lstm, self.gru, self.head = nn.LSTM(3, 4), nn.GRU(4, 4), nn.Dense(4, 10)

    def forward(self, x):
        return self.head(self.gru(self.lstm(x)[0])[0][:, -1])

def recurrent():
    tg.seed(0)
    return train(Recurrent(), tg.randn((8, 5, 3)), np.arange(8), tg.optim.RMSprop)
"""


def run_without_numba(program):
    """(stdout, stderr) of a program in a process that has no numba."""
    command = [sys.executable, "-c", BLOCKED + program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


@pytest.mark.parametrize("model", ["cnn", "gpt", "recurrent"])
def test_models_train_as_with_it(model):
    out, _ = run_without_numba(f"{TRAINING}\nprint(*{model}())\nassert 'numba' not in sys.modules")
    here: dict = {}
    exec(TRAINING, here)
    np.testing.assert_allclose([float(x) for x in out.split()], here[model](), rtol=1e-4)


def test_it_is_said_once_with_the_remedy():
    _, said = run_without_numba(
        "import tinygrad_like as tg\n"
        "tg.set_num_threads(1)\n"
        "for _ in range(3):\n"
        "    tg.relu(tg.randn(3) @ tg.randn((3, 2)))\n"
    )
    assert said.count("by NumPy alone") == 1
    assert "pip install -U numba" in said


def test_the_doctor_says_it():
    out, _ = run_without_numba("import tinygrad_like as tg\ntg.doctor()")
    assert "by NumPy alone, slowly: numba cannot be imported" in out


def test_a_fused_function_runs_step_by_step():
    out, _ = run_without_numba(
        "import tinygrad_like as tg, sys\n"
        "f = tg.fuse(lambda x: tg.sum(tg.exp(x) * 2, axis=-1))\n"
        "x = tg.ones((2, 3), requires_grad=True)\n"
        "y = f(x)\n"
        "y.backward(tg.ones(2))\n"
        "print(y.node.plan.op.name, *y.tolist(), *x.grad.tolist()[0])\n"
        "assert 'numba' not in sys.modules\n"
    )
    name, *values = out.split()
    assert "lambda" in name
    np.testing.assert_allclose([*map(float, values)], [6 * np.e] * 2 + [2 * np.e] * 3, rtol=1e-6)
