"""Language models: what they predict, how they go on with a text, and how they draw from it."""

import numpy as np
import pytest

import tinygrad_like as tg
from tinygrad_like import nn


def test_temperature_top_k_and_top_p_choose_among_the_likeliest():
    logits = np.log([0.05, 0.5, 0.3, 0.15])

    def drawn(**options):
        random = np.random.default_rng(0)
        counts = np.bincount([nn.choose(logits, random, **options) for _ in range(4000)])
        return counts / counts.sum()

    np.testing.assert_allclose(drawn(), [0.05, 0.5, 0.3, 0.15], atol=0.03)
    np.testing.assert_allclose(drawn(top_k=2), [0, 0.625, 0.375], atol=0.03)
    np.testing.assert_allclose(drawn(top_p=0.6), [0, 0.625, 0.375], atol=0.03)
    np.testing.assert_array_equal(drawn(top_p=0.0), [0, 1])
    np.testing.assert_array_equal(drawn(temperature=0), [0, 1])
    np.testing.assert_array_equal(drawn(temperature=1e-320), [0, 1])
    np.testing.assert_allclose(drawn(top_k=9), [0.05, 0.5, 0.3, 0.15], atol=0.03)
    np.testing.assert_array_equal(drawn(top_k=1), [0, 1])
    assert drawn(temperature=0.3)[1] > 0.75


def test_a_gpt_with_a_cache_writes_on_past_its_context():
    tg.seed(0)
    model = nn.GPT(11, 8, 16, 2, 2).eval()
    ids = np.random.default_rng(0).integers(0, 11, 30)
    state = None
    with tg.no_grad():
        for t in range(30):
            logits, state = model.continued(ids[t : t + 1], state)
            seen, cache = state
            expected = model(seen[None])[0, -1]
            np.testing.assert_allclose(logits.numpy(), expected.numpy(), atol=1e-5)
            assert cache.length == len(seen) <= 8
            np.testing.assert_array_equal(seen, ids[t + 1 - len(seen) : t + 1])


def test_a_gpt_predicts_each_token_from_those_before_it():
    tg.seed(0)
    model = nn.GPT(11, 8, 16, 2, 2)
    ids = np.random.default_rng(0).integers(0, 11, (2, 8))
    changed = ids.copy()
    changed[:, 5] = (ids[:, 5] + 1) % 11
    a, b = model(ids).numpy(), model(changed).numpy()
    assert a.shape == (2, 8, 11)
    np.testing.assert_array_equal(a[:, :5], b[:, :5])
    assert (np.abs(a[:, 5:] - b[:, 5:]).max(axis=(0, 2)) > 0).all()
    labels = np.random.default_rng(1).integers(0, 11, (2, 8))
    loss = tg.losses.cross_entropy(model(ids), labels).item()
    assert abs(loss - np.log(11)) < 0.1, "a new model should know no more than chance"


@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        (np.zeros(3, int), ValueError, r"\[GPT\] ids are \(3,\), expected \(N, T\)"),
        (np.zeros((1, 9), int), ValueError, r"\[GPT\] the sequence has 9 tokens.*context of 8"),
        (np.full((1, 3), 11), IndexError, r"ids contain 11, expected 0 to 10 \(in model.token\)"),
        (np.zeros((1, 3)), TypeError, r"ids have dtype float64, expected integers"),
        ([[1, 2]], TypeError, r"\[GPT\] ids is a list, expected a Tensor or an array"),
    ],
)
def test_ids_that_do_not_fit_a_gpt_are_refused(ids, error, message):
    with pytest.raises(error, match=message):
        nn.GPT(11, 8, 16, 1, 2)(ids)


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_a_recurrent_model_goes_on_with_a_text(kind):
    model = nn.RecurrentLM(kind, 11, 8, 2).eval()
    ids = np.random.default_rng(0).integers(0, 11, 9)
    whole, state = model(ids[None]).numpy()[0], None
    for t in range(9):
        logits, state = model.continued(ids[t : t + 1], state)
        np.testing.assert_allclose(logits.numpy(), whole[t], rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="kind is 'rnn', expected 'lstm' or 'gru'"):
        nn.RecurrentLM("rnn", 11, 8, 2)


def test_generate_adds_tokens_by_its_seed_alone():
    model = nn.GPT(11, 8, 16, 1, 2)
    prompt = np.array([1, 2, 3])
    a, b, c = (nn.generate(model, prompt, 20, seed=seed) for seed in (0, 0, 1))
    assert a.shape == (20,)
    assert a.tolist() == b.tolist() != c.tolist()
    assert model.training
    likeliest = nn.generate(model, prompt, 1, temperature=0)
    with tg.no_grad():
        assert likeliest[0] == model.eval()(prompt[None]).numpy()[0, -1].argmax()
    with pytest.raises(ValueError, match="the prompt is empty"):
        nn.generate(model, prompt[:0], 2)
    with pytest.raises(ValueError, match=r"prompt has shape \(1, 1, 3\)"):
        nn.generate(model, prompt[None, None], 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -1}, "temperature is -1"),
        ({"top_k": 0}, "top_k is 0"),
        ({"top_p": 2}, "top_p is 2"),
        ({"count": -1}, "count is -1"),
    ],
)
def test_generate_refuses_what_means_nothing_and_leaves_each_mode_as_it_was(options, message):
    model = nn.GPT(11, 8, 16, 1, 2)
    model.blocks.eval()
    with pytest.raises(ValueError, match=message):
        nn.generate(model, [1, 2, 3], **{"count": 2, **options})
    assert model.training
    assert not model.blocks.training


def test_attention_maps_are_those_of_evaluation_and_leave_the_mode():
    model = nn.GPT(11, 8, 16, 3, 2, dropout=0.5)
    first, second = (model.attention_maps(np.arange(6)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert all(module.training for _, module in model.named_modules())


def test_attention_maps_are_causal_weights():
    maps = nn.GPT(11, 8, 16, 3, 2).eval().attention_maps(np.arange(6))
    assert maps.shape == (3, 2, 6, 6)
    np.testing.assert_allclose(maps.sum(axis=-1), 1, rtol=1e-5)
    assert np.triu(maps, 1).max() == 0
