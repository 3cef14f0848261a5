"""The steps in JAX, which has no CTC: one jitted function of weights, optimizer state, batch."""

import functools
import itertools

import jax
import jax.numpy as jnp
from jax import lax

from bench import workloads


def dense(p, path, x):
    """x W + b, with the W and b at a path of the weights `p`."""
    return x @ p[f"{path}.weight"] + p[f"{path}.bias"]


def layer_norm(p, path, x):
    """The layer norm at a path of the weights `p`, over the last axis."""
    centred = x - x.mean(-1, keepdims=True)
    rstd = lax.rsqrt((centred * centred).mean(-1, keepdims=True) + 1e-5)
    return centred * rstd * p[f"{path}.weight"] + p[f"{path}.bias"]


def mlp(p, x):
    """Logits (N, 10) of images (N, 784)."""
    return dense(p, "4", jax.nn.relu(dense(p, "2", jax.nn.relu(dense(p, "0", x)))))


def cnn(p, x):
    """Logits (N, 10) of images (N, 1, 28, 28)."""
    x = x.transpose(0, 2, 3, 1)  # channels last is what XLA likes best
    for path in ("0", "3"):
        layout = ("NHWC", "OIHW", "NHWC")
        y = lax.conv_general_dilated(
            x, p[f"{path}.weight"], (1, 1), "SAME", dimension_numbers=layout
        )
        y = jax.nn.relu(y + p[f"{path}.bias"])
        x = lax.reduce_window(y, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    x = x.transpose(0, 3, 1, 2).reshape(len(x), -1)
    return dense(p, "9", jax.nn.relu(dense(p, "7", x)))


def lstm(p, ids):
    """Logits of the next token: ids (N, T) -> (N, T, vocabulary)."""
    x = p["embedding.weight"][ids.T]  # time first, as scan wants it
    for k in range(len(workloads.LSTM_WIDTHS) - 1):
        layer = f"lstm.layers.{k}.forward"
        recurrent = p[f"{layer}.recurrent"]

        def cell(state, inputs, recurrent=recurrent):
            h, c = state
            i, f, o, g = jnp.split(inputs + h @ recurrent, 4, axis=1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), h

        zeros = jnp.zeros((ids.shape[0], recurrent.shape[0]), x.dtype)
        _, x = lax.scan(cell, (zeros, zeros), dense(p, layer, x))
    return dense(p, "head", x).swapaxes(0, 1)


def gpt(sizes, p, ids):
    """Logits of the next token: ids (N, T) -> (N, T, vocabulary)."""
    n, t = ids.shape
    x = p["token.weight"][ids] + p["position.weight"][:t]
    for k in range(sizes.blocks):
        block = f"blocks.{k}"
        y = layer_norm(p, f"{block}.norm1", x)
        q, k, v = (
            dense(p, f"{block}.attention.{m}", y).reshape(n, t, sizes.heads, -1)
            for m in ("query", "key", "value")
        )
        heads = jax.nn.dot_product_attention(q, k, v, is_causal=True)
        x = x + dense(p, f"{block}.attention.out", heads.reshape(x.shape))
        y = dense(p, f"{block}.feed_forward.up", layer_norm(p, f"{block}.norm2", x))
        x = x + dense(p, f"{block}.feed_forward.down", jax.nn.gelu(y))  # tanh's by default
    return layer_norm(p, "norm", x) @ p["token.weight"].T


def adamw(p, m, v, steps, gradient):
    """One parameter's next (p, m, v), PyTorch's formula."""
    m = 0.9 * m + 0.1 * gradient
    v = 0.999 * v + 0.001 * gradient * gradient
    unbiased = m / (1 - 0.9**steps), v / (1 - 0.999**steps)
    update = unbiased[0] / (jnp.sqrt(unbiased[1]) + 1e-8) + workloads.WEIGHT_DECAY * p
    return p - workloads.LEARNING_RATE * update, m, v


def build(name, workload, batch_size, device):
    """The step of a workload, compiled by its first call."""
    jax.config.update("jax_platforms", device)
    if workload in workloads.GPTS:
        logits_of = functools.partial(gpt, workloads.GPTS[workload])
    else:
        logits_of = {"mlp": mlp, "cnn": cnn, "lstm": lstm}[workload]

    def loss_of(p, x, labels):
        log_p = jax.nn.log_softmax(logits_of(p, x))
        return -jnp.take_along_axis(log_p, labels[..., None], -1).mean()

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def train(p, state, x, labels):
        m, v, steps = state
        loss, gradient = jax.value_and_grad(loss_of)(p, x, labels)
        new = {k: adamw(p[k], m[k], v[k], steps, gradient[k]) for k in p}
        p, m, v = ({k: triple[i] for k, triple in new.items()} for i in range(3))
        return loss, p, (m, v, steps + 1)

    p = jax.tree.map(jnp.array, workloads.weights(workload))
    state = jax.tree.map(jnp.zeros_like, p), jax.tree.map(jnp.zeros_like, p), jnp.float32(1)
    data = [(jnp.array(x), jnp.array(y)) for x, y in workloads.batches(workload, batch_size)]
    batches = itertools.cycle(data)

    def step():
        nonlocal p, state
        loss, p, state = train(p, state, *next(batches))
        return float(loss)

    return step
