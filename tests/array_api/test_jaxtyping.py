"""jaxtyping's annotations of Tensors, and its checker at run time."""

import pytest
from needed import imported

import tinygrad_like as tg
from tinygrad_like import Tensor

jaxtyping, beartype = imported("jaxtyping"), imported("beartype")


def test_jaxtyping_reads_dtypes_and_shapes():
    x = tg.zeros(2, 3)
    for right in (
        (x, jaxtyping.Float[Tensor, "batch dim"]),
        (x, jaxtyping.Float32[Tensor, "_ 3"]),
        (tg.arange(3), jaxtyping.Int64[Tensor, "n"]),
        (x > 0, jaxtyping.Bool[Tensor, "..."]),
        (Tensor([1j]), jaxtyping.Complex[Tensor, "1"]),
        (Tensor(2.0), jaxtyping.Float[Tensor, ""]),
    ):
        assert isinstance(*right)
    for wrong in (
        (x, jaxtyping.Float[Tensor, "batch"]),
        (x, jaxtyping.Int[Tensor, "..."]),
        (x, jaxtyping.Float64[Tensor, "..."]),
        (x, jaxtyping.Float[Tensor, "n n"]),
        (x.numpy(), jaxtyping.Float[Tensor, "..."]),
    ):
        assert not isinstance(*wrong)


ROWS, WEIGHT, OUT = (jaxtyping.Float[Tensor, axes] for axes in ("n d", "d m", "n m"))


@jaxtyping.jaxtyped(typechecker=beartype.beartype)
def product(x: ROWS, w: WEIGHT) -> OUT:
    return x @ w


def test_the_checker_names_the_argument():
    x = tg.ones((2, 3), requires_grad=True)
    product(x, tg.ones(3, 4)).sum().backward()
    assert x.grad.tolist() == [[4, 4, 4], [4, 4, 4]]
    with pytest.raises(jaxtyping.TypeCheckError, match=r"w[\s\S]*d m"):
        product(x, tg.ones(2, 4))
    tg.vmap(product, in_axes=(0, None))(tg.ones(5, 2, 3), tg.ones(3, 4))
