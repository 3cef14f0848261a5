"""generate: the tokens of transformers under greedy decoding, batches, and what it refuses."""

import numpy as np
import pytest
from needed import imported

import tinygrad_like as tg
from tinygrad_like import nn
from tinygrad_like.interchange import load_gpt2

PROMPTS = [[3, 1, 4, 1, 5], [9], [2, 6, 5]]


def small(kind="gpt"):
    tg.seed(0)
    if kind == "gpt":
        model = nn.GPT(11, 16, 16, 2, 2)
        with tg.no_grad():
            for p in model.parameters():
                p[...] = tg.randn(p.shape) * 0.3  # a new GPT is as good as indifferent
        return model
    return nn.RecurrentLM(kind, 11, 16, 2)


@pytest.mark.long  # it imports transformers
@pytest.mark.parametrize("penalty", [1.0, 1.3])
def test_greedy_tokens_are_those_of_transformers(penalty):
    torch, transformers = imported("torch"), imported("transformers")
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=31, n_positions=32, n_embd=12, n_layer=2, n_head=3,
        bos_token_id=None, eos_token_id=None, pad_token_id=30, initializer_range=0.5,
    )  # fmt: skip
    theirs = transformers.GPT2LMHeadModel(config).eval()
    ours = nn.GPT(31, 32, 12, 2, 3)
    load_gpt2(ours, theirs.state_dict())
    options = {"do_sample": False, "repetition_penalty": penalty, "max_new_tokens": 20}
    found = ours.generate(PROMPTS, 20, temperature=0, repetition_penalty=penalty)
    for prompt, tokens in zip(PROMPTS, found, strict=True):
        ids = torch.tensor([prompt])
        with torch.no_grad():
            expected = theirs.generate(ids, attention_mask=torch.ones_like(ids), **options)
        assert tokens.tolist() == expected[0, len(prompt) :].tolist()


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("kind", ["gpt", "lstm", "gru"])
def test_texts_in_a_batch_are_what_they_are_alone_beyond_the_context_too(kind, temperature):
    """The draws are those of the first text's stream, so each is the first one of its batch."""
    model = small(kind)
    for prompts in (PROMPTS, PROMPTS[1:] + PROMPTS[:1], PROMPTS[2:] + PROMPTS[:2]):
        first, *_ = model.generate(prompts, 40, temperature=temperature)
        alone = model.generate(prompts[0], 40, temperature=temperature)
        assert first.shape == (40,)
        assert first.tolist() == alone.tolist()
    if temperature == 0:
        together = model.generate(PROMPTS, 40, temperature=0)
        for prompt, tokens in zip(PROMPTS, together, strict=True):
            assert tokens.tolist() == model.generate(prompt, 40, temperature=0).tolist()


def test_logits_of_padded_texts_are_those_of_each_alone():
    model = small().eval()
    texts = [np.array(prompt) for prompt in PROMPTS]
    with tg.no_grad():
        logits, state = model.continued_texts(texts)
        for _ in range(30):  # past the context of 16, which the texts reach one after the other
            news = [logits.numpy()[i].argmax()[None] for i in range(3)]
            texts = [np.concatenate(pair) for pair in zip(texts, news, strict=True)]
            logits, state = model.continued_texts(news, state)
            for i, seen in enumerate(state[0]):
                assert len(seen) <= 16
                np.testing.assert_array_equal(seen, texts[i][-len(seen) :])
                alone = model(seen[None])[0, -1].numpy()
                np.testing.assert_allclose(logits.numpy()[i], alone, rtol=1e-4, atol=1e-4)


def test_texts_of_a_batch_have_streams_of_their_own():
    model = nn.GPT(11, 16, 16, 1, 2)
    a, b = model.generate([[1, 2], [1, 2]], 20, seed=3)
    assert a.tolist() != b.tolist()
    again = model.generate(np.array([[1, 2], [1, 2]]), 20, seed=3)
    assert [x.tolist() for x in again] == [a.tolist(), b.tolist()]


def test_a_text_ends_with_a_stop_token():
    model = small()
    whole = model.generate(PROMPTS, 30, seed=1)
    stopped = model.generate(PROMPTS, 30, seed=1, stop=[7, 2])
    for a, b in zip(whole, stopped, strict=True):
        ends = [i for i, token in enumerate(a) if token in (7, 2)]
        assert b.tolist() == (a[: ends[0] + 1] if ends else a).tolist()
    assert any(len(b) < 30 for b in stopped)
    one = model.generate(PROMPTS[0], 30, temperature=0, stop=int(whole[0][0]))
    assert len(one) <= 30


def test_a_penalty_makes_repetitions_rarer():
    model = small()
    distinct = [
        len(set(model.generate([1], 10, temperature=0, repetition_penalty=p).tolist()))
        for p in (1.0, 1e6)
    ]
    assert distinct[1] > distinct[0]


class Counting(nn.Module):
    """A model of another kind: after a token comes the next one."""

    def continued(self, ids, state=None):
        return tg.Tensor(np.eye(5)[(ids[-1] + 1) % 5]), state


def test_models_with_nothing_but_continued_generate_batches_too():
    found = nn.generate(Counting(), [[0], [3, 2]], 4, temperature=0)
    assert [tokens.tolist() for tokens in found] == [[1, 2, 3, 4], [3, 4, 0, 1]]


@pytest.mark.parametrize(
    ("prompt", "options", "error", "words"),
    [
        (np.arange(17) % 11, {}, ValueError, "prompt has 17 tokens, more than the context of 16: "),
        ([[1], list(range(10)) * 2], {}, ValueError, "has 20 tokens, more than the context of 16"),
        ([[1], []], {}, ValueError, "the prompt is empty"),
        (np.zeros((0, 3), int), {}, ValueError, "there are no prompts"),
        (np.zeros((1, 1, 3), int), {}, ValueError, "prompt has shape (1, 1, 3), expected the tok"),
        ([0.5, 1.5], {}, TypeError, "the prompt is of float64, expected integers"),
        ([1], {"repetition_penalty": 0}, ValueError, "repetition_penalty is 0, expected a number"),
        ([99], {}, IndexError, "contain 99, expected 0 to 10"),
    ],
)
def test_prompts_that_do_not_fit_are_refused(prompt, options, error, words):
    model = nn.GPT(11, 16, 16, 1, 2)
    with pytest.raises(error) as raised:
        model.generate(prompt, 2, **options)
    assert words in str(raised.value)
    assert model.training
