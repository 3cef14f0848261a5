"""predict and evaluate: a model applied to many inputs, and its mean loss."""

import numpy as np
import pytest

import tinygrad_like as tg
from tinygrad_like import nn
from tinygrad_like.training import evaluate, predict

RNG = np.random.default_rng(0)
X, LABELS = RNG.standard_normal((7, 4)).astype(np.float32), RNG.integers(0, 3, 7)


def make_model():
    tg.seed(0)
    return nn.Sequential(nn.Dense(4, 8), nn.Dropout(0.5), nn.Dense(8, 3))


@pytest.mark.parametrize("batch_size", [1, 3, 7, 100])
def test_batches_of_any_size_give_the_same(batch_size):
    model = make_model()
    whole = model.eval()(tg.Tensor(X))
    np.testing.assert_allclose(predict(model, X, batch_size), whole.numpy(), rtol=1e-6, atol=1e-6)
    mean = tg.losses.cross_entropy(whole, LABELS).item()
    assert evaluate(model, X, LABELS, batch_size) == pytest.approx(mean, rel=1e-6)


def test_labels_of_several_axes_count_one_by_one():
    model = nn.Embedding(5, 5)
    ids = RNG.integers(0, 5, (3, 4))
    mean = tg.losses.cross_entropy(model(tg.Tensor(ids)), ids).item()
    assert evaluate(model, ids, ids, 2) == pytest.approx(mean, rel=1e-6)


def test_another_loss_may_be_given():
    model = nn.Dense(4, 2)
    targets = RNG.standard_normal((7, 2)).astype(np.float32)
    mean = tg.losses.mse(model(tg.Tensor(X)), tg.Tensor(targets)).item()
    assert evaluate(model, X, targets, 3, tg.losses.mse) == pytest.approx(mean, rel=1e-6)


@pytest.mark.parametrize("fails", [False, True])
def test_modes_and_recording_are_as_before(fails):
    model = make_model()
    list(model.named_modules())[1][1].training = False

    def loss(output, labels, reduction):
        assert not model.training
        assert not output.requires_grad
        if fails:
            raise ArithmeticError
        return output.sum()

    if fails:
        with pytest.raises(ArithmeticError):
            evaluate(model, X, LABELS, loss=loss)
    else:
        evaluate(model, X, LABELS, loss=loss)
    assert [module.training for _, module in model.named_modules()] == [True, False, True, True]
    assert model(tg.Tensor(X)).requires_grad


def test_a_model_gets_its_inputs_on_its_own_device():
    from needed import NO_EMULATOR

    if NO_EMULATOR:
        pytest.skip(NO_EMULATOR)
    model = make_model()
    expected = predict(model, X), evaluate(model, X, LABELS)
    model.to("cuda-emulator")
    np.testing.assert_allclose(predict(model, X), expected[0], rtol=1e-5, atol=1e-6)
    assert evaluate(model, X, LABELS) == pytest.approx(expected[1], rel=1e-5)


def test_misuse_is_refused_by_name():
    model = make_model()
    with pytest.raises(ValueError, match=r"\[evaluate\] there are 7 inputs and 6 labels"):
        evaluate(model, X, LABELS[:6])
    with pytest.raises(ValueError, match=r"\[evaluate\] there are no inputs"):
        evaluate(model, X[:0], LABELS[:0])
    with pytest.raises(ValueError, match=r"\[predict\] batch_size is 0"):
        predict(model, X, 0)
