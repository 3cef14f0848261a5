"""The server of examples/serve in tests: its files, weights, and requests to a running one."""

import contextlib
import io
import json
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
from needed import imported

import tinygrad_like as tg

for library in ("starlette", "uvicorn", "pydantic", "prometheus_client"):
    imported(library)
Image = imported("PIL.Image")

FOLDER = Path(__file__).parents[2] / "examples" / "serve"
JSON, PNG = "application/json", "image/png"
# urlopen would keep the proxy of a test that ran before, which keeps its programs off the network.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def digits():
    """The digits of the package as pictures (n, 28, 28) of float32, from 0 to 1, and labels."""
    images, labels = tg.data.digits()[0].arrays
    images = np.kron(images[:, 0] / images.max(), np.ones((1, 3, 3)))
    return np.pad(images, [(0, 0), (2, 2), (2, 2)]).astype(np.float32), labels


def write_weights(classifier, path, steps=1, seed=0):
    """Weights as network.py writes them, trained for some steps on the package's digits."""
    tg.seed(seed)
    images, labels = digits()
    model = classifier.network()
    optimizer = tg.optim.Adam(model.parameters(), lr=3e-3)
    mean, std = float(images.mean()), float(images.std())
    for i in range(steps):
        at = np.random.default_rng(i).integers(0, len(images), 64)
        x = tg.Tensor((images[at, None] - mean) / std)
        loss = tg.losses.cross_entropy(model(x), tg.Tensor(labels[at]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    ink = np.quantile(classifier.ink_of(images), np.linspace(0, 1, 11))
    state = {"model": model.state_dict(), "mean": mean, "std": std, "ink": ink, "accuracy": 0.5}
    tg.io.save(path, state)


@contextlib.contextmanager
def serving(weights, *options):
    """(process, address) of a running server."""
    command = [sys.executable, str(FOLDER / "serve.py"), str(weights), "--port", "0"]
    command += ["--seconds", "30", *options]  # as other tests run beside this one
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        address = process.stdout.readline().strip()
        get(address + "/health", wait=120)
        yield process, address
    finally:
        process.terminate()
        process.communicate(timeout=30)


def get(url, wait=30):
    with OPENER.open(url, timeout=wait) as response:
        return response.read()


def post(url, body, kind):
    """(status, answer) of a request."""
    request = urllib.request.Request(url, body, {"Content-Type": kind})
    try:
        with OPENER.open(request, timeout=30) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def as_json(picture):
    return json.dumps({"pixels": np.rint(255 * picture).astype(int).tolist()}).encode()


def as_png(levels, mode="L"):
    content = io.BytesIO()
    Image.fromarray(np.asarray(levels, np.uint8)).convert(mode).save(content, "PNG")
    return content.getvalue()
