"""The reference generator: Philox's published words, and what is drawn from them."""

import numpy as np
import pytest
from tinygrad_like.kernels import reference as k

LIKE = np.empty(0)  # "an array of this kind": NumPy's
KNOWN_ANSWERS = [  # Random123's kat_vectors, philox4x32 10
    ([0] * 4, [0] * 2, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ([LOW := 0xFFFFFFFF] * 4, [LOW] * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0],
        "d16cfe09 94fdcceb 5001e420 24126ea1",
    ),
]


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN_ANSWERS)
def test_philox_gives_the_published_vectors(counter, key, answer):
    words = k.philox4x32([np.array([c], dtype=np.uint64) for c in counter], key)
    assert " ".join(f"{int(word[0]):08x}" for word in words) == answer


def test_philox_words_depend_on_seed_and_position_only():
    words = k.philox(2**40 + 5, 2**32 - 3, 41, LIKE)
    assert words.dtype == np.uint32
    assert len(words) == 41
    np.testing.assert_array_equal(words[12:], k.philox(2**40 + 5, 2**32, 29, LIKE))
    counter = [np.array([c], dtype=np.uint64) for c in (1, 1, 0, 0)]  # block 2**32 + 1
    lanes = k.philox4x32(counter, (5, 2**8))
    np.testing.assert_array_equal(words[16:20], np.concatenate(lanes))
    assert k.philox(1, 2**64 - 1, 8, LIKE)[4:].tolist() == k.philox(1, 0, 4, LIKE).tolist()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_uniform_and_normal_have_their_moments(dtype):
    n = 40_001
    u, z = k.uniform(3, 0, n, dtype, LIKE), k.normal(3, 0, n, dtype, LIKE)
    assert u.dtype == z.dtype == dtype
    assert u.shape == z.shape == (n,)
    assert u.min() >= 0
    assert u.max() < 1
    moments = [a.astype(np.float64) for a in (u, u * u, z, z * z, z[1:] * z[:-1], z**4)]
    errors = np.abs([m.mean() for m in moments] - np.array([1 / 2, 1 / 3, 0, 1, 0, 3]))
    # Five standard errors; of z^4, which has far outliers, two.
    np.testing.assert_array_less(errors, [0.0075, 0.0075, 0.025, 0.036, 0.025, 0.1])
    np.testing.assert_array_equal(z[:7], k.normal(3, 0, 7, dtype, LIKE))
    assert k.uniform(3, 0, 0, dtype, LIKE).shape == k.normal(3, 0, 0, dtype, LIKE).shape == (0,)


def test_words_used_moves_the_offset_past_what_was_drawn():
    assert [k.words_used("uniform", 5, t) for t in ("f2", "f4", "f8")] == [5, 5, 10]
    assert [k.words_used("normal", 5, t) for t in ("f2", "f4", "f8")] == [6, 6, 12]
    assert [k.blocks(n) for n in (0, 1, 4, 5)] == [0, 1, 1, 2]


def test_dropout_keeps_by_the_uniform_numbers_and_drops_even_infinity():
    x = np.full((40, 50), 2.0, np.float32)
    y = k.dropout(x, 0.25, 9, 4)
    keep = k.uniform(9, 4, x.size, np.float32, x).reshape(x.shape) >= 0.25
    np.testing.assert_allclose(y, np.where(keep, 2 / 0.75, 0), rtol=1e-6)
    np.testing.assert_array_equal(k.dropout(x, 0.0, 9, 4), x)
    np.testing.assert_array_equal(k.dropout(x * np.inf, 1.0, 9, 4), np.zeros_like(x))
