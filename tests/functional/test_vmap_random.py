"""Random numbers inside vmap: who draws which, and gradients with the numbers of the forward."""

import numpy as np
import pytest

import tinygrad_like as tg


def dropped(x):
    return tg.dropout(x, 0.5)


def attended(x):
    return tg.scaled_dot_product_attention(x, x, x, dropout=0.4)


# (a function that draws, the shape of an example): a batch joins examples along its first axis.
DRAWS = pytest.mark.parametrize(
    ("f", "shape"), [(dropped, (1, 50)), (attended, (1, 2, 4, 5))], ids=["dropout", "attention"]
)


def ones(*shape):
    return tg.ones(shape, dtype=np.float64)


def normal(*shape):
    return tg.Tensor(np.random.default_rng(0).standard_normal(shape))


def at_seed(f, *args):
    """f(*args) with the random numbers of the same seed, as an array."""
    tg.seed(1)
    return f(*args).numpy()


@DRAWS
def test_examples_draw_what_a_batch_of_them_draws(f, shape):
    x = normal(3, *shape)
    batch = at_seed(f, x.reshape(3, *shape[1:]))
    np.testing.assert_allclose(at_seed(tg.vmap(f), x).reshape(batch.shape), batch, rtol=1e-12)


@DRAWS
def test_gradients_inside_and_outside_use_the_numbers_of_the_forward(f, shape):
    x, w = normal(3, *shape), normal(3, *shape) + 1
    batch = at_seed(
        tg.grad(lambda x: (f(x) * w.reshape(x.shape)).sum()), x.reshape(3, *shape[1:])
    ).reshape(x.shape)
    inside = tg.vmap(tg.grad(lambda x, w: (f(x) * w).sum()))
    outside = tg.grad(lambda x: (tg.vmap(f)(x) * w).sum())
    np.testing.assert_allclose(at_seed(inside, x, w), batch, rtol=1e-10)
    np.testing.assert_allclose(at_seed(outside, x), batch, rtol=1e-10)


@DRAWS
def test_all_rows_of_a_jacobian_use_the_same_numbers(f, shape):
    x = normal(*shape)
    tg.seed(1)
    y, pull_back = tg.vjp(f, x)
    units = np.eye(y.size).reshape(y.size, *shape)
    rows = [pull_back(tg.Tensor(unit))[0].numpy() for unit in units]
    found = at_seed(tg.jacobian(f, direction="reverse"), x)
    np.testing.assert_allclose(found, np.reshape(rows, shape * 2), rtol=1e-10, atol=1e-12)


def test_each_example_has_a_jacobian_and_a_hessian_of_its_own_mask():
    x = ones(3, 20)
    masks = at_seed(tg.vmap(dropped), x)
    jacobians = at_seed(tg.vmap(tg.jacobian(dropped)), x)
    hessians = at_seed(tg.vmap(tg.hessian(lambda x: (dropped(x) ** 2).sum())), x)
    assert len({mask.tobytes() for mask in masks}) == 3
    np.testing.assert_array_equal(jacobians, [np.diag(mask) for mask in masks])
    np.testing.assert_array_equal(hessians, [np.diag(2 * mask**2) for mask in masks])


@pytest.mark.parametrize("inner", ["different", "same"])
@pytest.mark.parametrize("outer", ["different", "same"])
def test_nested_vmaps_draw_anew_where_each_says_so(outer, inner):
    f = tg.vmap(tg.vmap(dropped, randomness=inner), randomness=outer)
    masks = at_seed(f, ones(3, 4, 200))
    distinct = len({mask.tobytes() for mask in masks.reshape(12, 200)})
    assert distinct == (3 if outer == "different" else 1) * (4 if inner == "different" else 1)
    same = tg.vmap(tg.vmap(lambda x: x * tg.rand(200), randomness=inner), randomness=outer)
    numbers = at_seed(same, ones(3, 4, 200))
    assert len({row.tobytes() for row in numbers.reshape(12, 200)}) == distinct


def test_what_examples_share_is_dropped_anew_in_each():
    masks = at_seed(tg.vmap(lambda x: dropped(ones(200)) + 0 * x), ones(5))
    assert len({mask.tobytes() for mask in masks}) == 5
    assert 0.4 < (masks != 0).mean() < 0.6


DRAWN = {
    "rand": lambda: tg.rand(8),
    "randn": lambda: tg.randn((8,)),
    "randint": lambda: tg.randint(0, 1 << 40, (8,)),
    "permutation": lambda: tg.permutation(50),
    "multinomial": lambda: tg.multinomial(tg.ones(50), 20),
}


@pytest.mark.parametrize("name", DRAWN)
def test_numbers_differ_or_are_those_of_one_call(name):
    draw, x = DRAWN[name], tg.ones(4)
    different = at_seed(tg.vmap(lambda x: draw()), x)
    same = at_seed(tg.vmap(lambda x: draw(), randomness="same"), x)
    assert len({row.tobytes() for row in different}) == 4
    np.testing.assert_array_equal(same, np.stack([at_seed(draw)] * 4))


def test_the_distributions_of_examples_are_drawn_from_in_one_go():
    p = normal(4, 6).data ** 2
    np.testing.assert_array_equal(
        at_seed(tg.vmap(lambda p: tg.multinomial(p, 3)), tg.Tensor(p)),
        at_seed(lambda p: tg.multinomial(p, 3), tg.Tensor(p)),
    )
    same = tg.vmap(lambda p: tg.multinomial(p, 3), randomness="same")
    rows = [at_seed(lambda row: tg.multinomial(row, 3), tg.Tensor(row)) for row in p]
    np.testing.assert_array_equal(at_seed(same, tg.Tensor(p)), rows)


def test_the_stream_goes_on_by_what_was_drawn():
    tg.seed(0)
    tg.vmap(dropped)(ones(3, 4))
    inside = tg.get_rng_state()
    tg.seed(0)
    dropped(ones(3, 4))
    assert inside == tg.get_rng_state()
