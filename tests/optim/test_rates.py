"""tg.optim.find_learning_rate: what it suggests, and that it leaves no trace."""

import numpy as np
import pytest
from interruptions import frozen

import tinygrad_like as tg
from tinygrad_like import nn


class Training:
    """A model with all that a search could change: buffers, dropout, momentum, gradients."""

    def __init__(self, warm=True):
        tg.seed(1)
        train, _ = tg.data.digits()
        self.model = nn.Sequential(
            *(nn.Flatten(), nn.Dense(64, 16), nn.BatchNorm(16), nn.ReLU()),
            *(nn.Dropout(0.1), nn.Dense(16, 10)),
        )
        self.optimizer = tg.optim.Adam(self.model.parameters(), 1e-3)
        self.loader = tg.data.DataLoader(train, 64, shuffle=True, seed=2)
        if warm:
            for batch in self.loader:
                self.step(batch)
                if self.loader.state_dict()["batch"] == 3:
                    break

    def loss(self, images, labels):
        return tg.losses.cross_entropy(self.model(tg.Tensor(images)), labels)

    def step(self, batch):
        self.optimizer.zero_grad()
        self.loss(*batch).backward()
        self.optimizer.step()

    def state(self):
        grads = [None if p.grad is None else p.grad.numpy() for p in self.model.parameters()]
        parts = self.model, self.optimizer, self.loader
        return frozen([tg.get_rng_state(), grads, *(part.state_dict() for part in parts)])

    def search(self, **options):
        return tg.optim.find_learning_rate(
            self.loss, self.model, self.optimizer, self.loader, **options
        )


@pytest.mark.parametrize("warm", [True, False])
def test_it_leaves_everything_as_it_was_to_the_last_bit(warm):
    training, other = Training(warm), Training(warm)
    before = training.state()
    arrays = [p.data for p in training.model.parameters()]
    found = training.search(steps=30)  # more than an epoch has batches
    assert len(found.rates) == 30
    assert training.state() == before
    assert all(p.data is a for p, a in zip(training.model.parameters(), arrays, strict=True))
    for one in (training, other):
        tg.seed(7)
        for batch in one.loader:
            one.step(batch)
    assert training.state() == other.state()


def test_it_finds_a_rate_at_which_the_loss_falls(tmp_path):
    training = Training()
    found = training.search(first=1e-6, last=10.0, steps=80)
    np.testing.assert_allclose(np.diff(np.log(found.rates)), np.log(1e7) / 79, rtol=1e-6)
    assert found.rates[0] == 1e-6
    assert 1e-3 < found.suggestion < 1
    assert found.suggestion in found.rates
    least = found.smoothed.min()
    assert least < 0.8 * found.smoothed[0]
    assert found.rates[np.argmin(found.smoothed)] >= found.suggestion
    assert len(found.losses) == len(found.rates) == len(found.smoothed)
    found.plot(tmp_path / "rates.png")
    assert (tmp_path / "rates.png").read_bytes().startswith(b"\x89PNG")


def test_it_ends_where_the_loss_explodes():
    model = nn.Dense(1, 1)
    model.weight.data = np.full((1, 1), 1.0, np.float32)
    optimizer = tg.optim.SGD(model.parameters(), 0.1)
    batches = [np.ones((1, 1), np.float32)]
    found = tg.optim.find_learning_rate(
        lambda x: (model(tg.Tensor(x)) ** 2).sum(),
        model, optimizer, batches, first=1e-3, last=1e3, steps=60,
    )  # fmt: skip
    assert len(found.rates) < 60
    assert found.rates[-1] < 1e3
    assert model.weight.item() == 1.0
    assert optimizer.lr == 0.1


def test_after_an_error_everything_is_as_it_was():
    training = Training()
    before = training.state()
    calls = []

    def loss(images, labels):
        calls.append(1)
        if len(calls) == 7:
            raise KeyboardInterrupt
        return training.loss(images, labels)

    with pytest.raises(KeyboardInterrupt):
        tg.optim.find_learning_rate(loss, training.model, training.optimizer, training.loader)
    assert len(calls) == 7
    assert training.state() == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"first": 0.0}, "the rates go from 0.0 to 1.0; expected 0 < first < last"),
        ({"first": 2.0}, "the rates go from 2.0 to 1.0"),
        ({"steps": 1}, "steps is 1"),
    ],
)
def test_rates_that_do_not_rise_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Training(False).search(**options)


def test_batches_that_would_be_lost_are_refused():
    t = Training(False)
    for batches, error, message in (
        (iter([1]), TypeError, "can be walked through only once"),
        ([], ValueError, "there are no batches"),
    ):
        with pytest.raises(error, match=message):
            tg.optim.find_learning_rate(t.loss, t.model, t.optimizer, batches)


def test_a_text_is_not_read_on():
    batches = tg.data.TextBatches(np.arange(50) % 7, 4, 2, seed=1)
    model = nn.GPT(7, 4, 8, 1, 2)
    tg.optim.find_learning_rate(
        lambda x, y: tg.losses.cross_entropy(model(x), y),
        model, tg.optim.SGD(model.parameters(), 0.1), batches, steps=3,
    )  # fmt: skip
    assert batches.step == 0


def test_all_that_the_optimizer_trains_is_taken_back():
    """A second network, or a learned temperature, that is no part of the model."""
    training = Training()
    scale = tg.ones((), requires_grad=True)
    optimizer = tg.optim.Adam([*training.model.parameters(), scale], 1e-3)
    before = frozen([p.numpy() for p in (*training.model.parameters(), scale)])
    found = tg.optim.find_learning_rate(
        lambda *batch: training.loss(*batch) * scale, training.model, optimizer, training.loader,
        steps=5,
    )  # fmt: skip
    assert len(found.rates) == 5
    assert frozen([p.numpy() for p in (*training.model.parameters(), scale)]) == before
    assert scale.grad is None


def test_a_loss_may_be_negative():
    training = Training()
    found = tg.optim.find_learning_rate(
        lambda *batch: training.loss(*batch) - 10, training.model, training.optimizer,
        training.loader, last=1e-3, steps=20,
    )  # fmt: skip
    assert len(found.rates) == 20
