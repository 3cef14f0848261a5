"""einops takes Tensors, as it takes the arrays that it knows."""

import subprocess
import sys

import numpy as np
import pytest
from needed import imported

import tinygrad_like as tg
from tinygrad_like import Tensor

einops = imported("einops")

X = np.random.default_rng(0).normal(size=(2, 3, 4, 6))

CALLS = {
    "rearrange": lambda x: einops.rearrange(x, "b c h (w two) -> (two b) h w c", two=2),
    "flat": lambda x: einops.rearrange(x, "... w -> (... w)"),
    "squeeze": lambda x: einops.rearrange(x[:1, :, :1], "1 c 1 w -> w c"),
    "stacked": lambda x: einops.rearrange([x[0], x[1]], "n c h w -> c n h w"),
    "repeat": lambda x: einops.repeat(x, "b c h w -> b h (w k) c n", k=2, n=3),
    "einsum": lambda x: einops.einsum(x, x, "b c h w, b d h w -> b c d"),
    "pack": lambda x: einops.pack([x, x[:, 0], x[..., 0, 0]], "b *")[0],
    "unpack": lambda x: einops.unpack(x, [(2,), (), (3,)], "b c h *")[2],
    **{
        op: lambda x, op=op: einops.reduce(x, "b c (h h2) w -> b h w", op, h2=2)
        for op in ("sum", "mean", "max", "min", "prod")
    },
    "layer": lambda x: einops.reduce(x, "b c h w -> b () h", "mean"),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_function_of_einops_has_numpys_values_and_gradients(name):
    call = CALLS[name]
    y = call(Tensor(X))
    assert isinstance(y, Tensor)
    np.testing.assert_allclose(y.numpy(), call(X), rtol=1e-12)
    tg.gradcheck(call, X[:, :2, :2])


@pytest.mark.parametrize("op", ["any", "all"])
def test_reductions_of_truth(op):
    mask = X > 0
    y = einops.reduce(Tensor(mask), "b c h w -> c", op)
    np.testing.assert_array_equal(y.numpy(), einops.reduce(mask, "b c h w -> c", op))


def test_einops_sees_the_shape_of_one_example_inside_vmap():
    y = tg.vmap(lambda x: einops.reduce(x, "c h w -> c", "sum"))(Tensor(X))
    np.testing.assert_allclose(y.numpy(), X.sum((2, 3)), rtol=1e-12)


def test_what_einops_refuses_and_gives():
    with pytest.raises(einops.EinopsError, match="can't divide"):
        einops.rearrange(Tensor(X), "b c h (w five) -> b c h w five", five=5)
    with pytest.raises(NotImplementedError, match="floating"):
        einops.reduce(Tensor([1, 2]), "a -> ", "mean")
    assert einops.parse_shape(Tensor(X), "b _ h w") == {"b": 2, "h": 4, "w": 6}
    assert type(einops.asnumpy(Tensor(X))) is np.ndarray


@pytest.mark.long
@pytest.mark.parametrize("order", ["einops, tinygrad_like", "tinygrad_like, einops"])
def test_whichever_is_imported_first(order):
    code = (
        f"import {order}, sys; t = tinygrad_like.ones(2, 3); "
        "print(einops.rearrange(t, 'a b -> b a').shape, "
        "sum('tinygrad_like' in str(type(f)) for f in sys.meta_path))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert found.stdout.strip() == "(3, 2) 0"
