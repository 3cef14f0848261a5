"""Dataset and DataLoader: indices, the order of batches, resuming, and what is refused."""

import json
import sys

import numpy as np
import pytest
from interruptions import interrupted_at_every_line

import tinygrad_like as tg
from tinygrad_like.data import DataLoader, Dataset


def test_a_dataset_gives_tuples_for_every_index():
    dataset = Dataset(np.arange(6).reshape(3, 2), [5, 6, 7], name="few", classes="abc")
    assert len(dataset) == 3
    assert dataset.classes == ("a", "b", "c")
    assert repr(dataset) == "Dataset('few': int64 (3, 2), int64 (3,))"
    for index in (1, slice(1, None), [2, 0], np.array([True, False, True])):
        x, y = dataset[index]
        np.testing.assert_array_equal(x, np.arange(6).reshape(3, 2)[index])
        np.testing.assert_array_equal(y, np.array([5, 6, 7])[index])
    assert [int(y) for _, y in dataset] == [5, 6, 7]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ((), "[Dataset] got no arrays, expected at least one"),
        ((np.ones(3), 2.0), "[Dataset] an array has no axis of samples (shapes: (3,), ())"),
        ((np.ones((3, 2)), np.ones(2)), "[Dataset] arrays differ in length (shapes: (3, 2), (2,))"),
    ],
)
def test_arrays_that_are_no_dataset_are_refused(arrays, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        Dataset(*arrays)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (3, "[Dataset] index does not fit 3 samples: index 3 is out of bounds"),
        (np.array([True, False]), "[Dataset] index does not fit 3 samples: boolean index did not"),
        (0.5, "[Dataset] index does not fit 3 samples: only integers"),
        ((0, 1), "[Dataset] index (0, 1) is a tuple; samples have one index"),
    ],
)
def test_an_index_that_does_not_fit_is_refused(index, message):
    with pytest.raises(IndexError) as caught:
        Dataset(np.ones((3, 2)))[index]
    assert str(caught.value).startswith(message)


def numbers(loader, steps=None):
    """The samples' numbers in each batch, of one epoch or of the next few steps of many."""
    if steps is None:
        return [batch.tolist() for (batch,) in loader]
    found = []
    while len(found) < steps:
        for (batch,) in loader:
            found.append(batch.tolist())
            if len(found) == steps:
                break
    return found


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize(
    ("batch_size", "drop_last"),
    [(1, False), (3, False), (3, True), (4, True), (10, False), (10, True), (12, False)],
)
def test_an_epoch_has_each_sample_once(batch_size, drop_last, shuffle):
    dataset = Dataset(np.arange(10))
    loader = DataLoader(dataset, batch_size, shuffle=shuffle, drop_last=drop_last)
    batches = numbers(loader)
    assert len(batches) == len(loader)
    samples = [sample for batch in batches for sample in batch]
    assert all(len(batch) == batch_size for batch in batches[:-1])
    assert len(samples) == (10 - 10 % batch_size if drop_last else 10)
    assert len(set(samples)) == len(samples)
    if not shuffle:
        assert samples == sorted(samples)


def test_arrays_stay_together_and_batches_are_copies():
    x = np.arange(20.0).reshape(10, 2)
    for shuffle in (False, True):
        for batch, labels in DataLoader(Dataset(x, np.arange(10)), 4, shuffle=shuffle):
            np.testing.assert_array_equal(batch, x[labels])
            assert not np.shares_memory(batch, x)


def test_the_order_depends_on_seed_and_epoch_alone():
    dataset = Dataset(np.arange(100))
    first, second = ([numbers(DataLoader(dataset, 8, shuffle=True, seed=s))] for s in (0, 1))
    assert first != second
    loader = DataLoader(dataset, 8, shuffle=True, seed=0)
    epochs = [numbers(loader) for _ in range(3)]
    assert epochs[0] == first[0]
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]
    assert loader.epoch == 3
    last = DataLoader(dataset, 8, shuffle=True, seed=2**64 - 1)
    assert numbers(last) != numbers(DataLoader(dataset, 8, shuffle=True, seed=2**64 - 2))


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("taken", range(9))
def test_a_loader_resumes_where_its_state_was_taken(taken, shuffle):
    def make():
        return DataLoader(Dataset(np.arange(10)), 3, shuffle=shuffle, seed=5)

    undisturbed = numbers(make(), steps=24)
    loader = make()
    state = loader.state_dict()
    steps = 0
    while steps < taken:
        for _ in loader:
            steps += 1
            if steps == taken:
                state = json.loads(json.dumps(loader.state_dict()))
                break
    resumed = make()
    numbers(resumed)  # a loader that has already run is set back as well
    resumed.load_state_dict(state)
    assert resumed.epoch == max(taken - 1, 0) // 4
    assert numbers(resumed, steps=24 - taken) == undisturbed[taken:]


def test_a_state_between_epochs_resumes_with_the_next():
    loader = DataLoader(Dataset(np.arange(10)), 3, shuffle=True)
    numbers(loader)
    state = loader.state_dict()
    assert (state["epoch"], state["batch"]) == (1, 0)
    assert all(type(value) is int for value in state.values())
    expected = numbers(loader)
    loader.load_state_dict(state)
    assert numbers(loader) == expected


def test_a_loop_left_early_is_not_continued():
    loader = DataLoader(Dataset(np.arange(10)), 3)
    next(iter(loader))
    assert numbers(loader) == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]]
    assert loader.epoch == 2


def test_two_loops_at_once_do_not_disturb_each_other():
    dataset = Dataset(np.arange(10))
    alone = DataLoader(dataset, 3, shuffle=True, seed=7)
    expected = [numbers(alone), numbers(alone)]
    loader = DataLoader(dataset, 3, shuffle=True, seed=7)
    found = [(a.tolist(), b.tolist()) for (a,), (b,) in zip(loader, loader, strict=True)]
    assert [list(batches) for batches in zip(*found, strict=True)] == expected
    assert loader.state_dict()["epoch"] == 2


def test_loaders_made_anew_differ_and_a_seeded_run_is_repeated():
    dataset = Dataset(np.arange(50))

    def run():
        tg.seed(3)
        return [numbers(DataLoader(dataset, 8, shuffle=True)) for _ in range(3)]

    first = run()
    assert first[0] != first[1] != first[2] != first[0]
    assert run() == first
    before = tg.get_rng_state()
    DataLoader(dataset, 8)
    DataLoader(dataset, 8, shuffle=True, seed=0)
    assert tg.get_rng_state() == before  # no seed is drawn where none is needed


def test_a_seed_that_was_drawn_goes_with_the_state():
    first, second = (DataLoader(Dataset(np.arange(50)), 8, shuffle=True) for _ in range(2))
    numbers(first)
    second.load_state_dict(first.state_dict())
    assert numbers(second) == numbers(first)
    third = DataLoader(Dataset(np.arange(50)), 8, shuffle=True, seed=1)
    with pytest.raises(ValueError, match="of a loader with seed"):
        third.load_state_dict(first.state_dict())


def test_a_loader_that_is_interrupted_stands_before_a_batch_or_after_it():
    for batch in (1, 4):  # the last of an epoch is the fourth

        def start(batch=batch):
            loader = DataLoader(Dataset(np.arange(10)), 3, shuffle=True, seed=5)
            loop = iter(loader)
            for _ in range(batch):
                next(loop)
            return lambda: next(loop, None), loader.state_dict

        interrupted_at_every_line(start)

    def start_loading():
        loader = DataLoader(Dataset(np.arange(10)), 3, shuffle=True)
        loader.seed = 1
        state = {**loader.state_dict(), "seed": 2, "epoch": 3, "batch": 2}
        return lambda: loader.load_state_dict(state), loader.state_dict

    interrupted_at_every_line(start_loading)


FEW = Dataset(np.arange(3))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: DataLoader(FEW, 0), ValueError, "batch_size is 0, expected a positive integer"),
        (lambda: DataLoader(FEW, -2), ValueError, "batch_size is -2, expected a positive integer"),
        (lambda: DataLoader(FEW, 2.0), TypeError, "batch_size is 2.0, expected a positive integer"),
        (lambda: DataLoader(FEW, True), TypeError, "batch_size is True, expected a positive"),
        (lambda: DataLoader(FEW, seed=-1), ValueError, "seed is -1, expected an integer from 0 to"),
        (lambda: DataLoader(FEW, shuffle="no"), ValueError, "shuffle is 'no', expected True or"),
        (lambda: DataLoader(FEW, shuffle=1), ValueError, "shuffle is 1, expected True or False"),
        (lambda: DataLoader(FEW, drop_last=None), ValueError, "drop_last is None, expected True"),
        (lambda: DataLoader(FEW, seed=None), TypeError, "seed is None, expected an integer from 0"),
        (
            lambda: DataLoader(Dataset(np.ones((0, 2)))),
            ValueError,
            "the dataset is empty: Dataset('': float64 (0, 2))",
        ),
        (
            lambda: DataLoader(FEW, 4, drop_last=True),
            ValueError,
            "drop_last leaves no batch: 3 samples are fewer than batch_size 4",
        ),
        (
            lambda: DataLoader((np.ones(3), np.ones(3))),
            TypeError,
            "got tuple, expected a Dataset: try Dataset(x, y)",
        ),
    ],
)
def test_a_loader_that_cannot_work_is_refused(make, error, message):
    with pytest.raises(error) as caught:
        make()
    assert str(caught.value).startswith(f"[DataLoader] {message}")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"seed": 1}, ValueError, "the state is of a loader with seed 1, this one has seed 0"),
        (
            {"samples": 4},
            ValueError,
            "the state is of a loader with samples 4, this one has samples",
        ),
        ({"batch_size": 1}, ValueError, "the state is of a loader with batch_size 1, this one"),
        (
            {"shuffle": 1},
            ValueError,
            "the state is of a loader with shuffle 1, this one has shuffle 0",
        ),
        ({"drop_last": 1}, ValueError, "the state is of a loader with drop_last 1, this one has"),
        ({"batch": 3}, ValueError, "state's batch is 3, expected an integer from 0 to 2"),
        ({"epoch": -1}, ValueError, "state's epoch is -1, expected an integer of 0 or more"),
        ({"epoch": 0.5}, TypeError, "state's epoch is 0.5, expected an integer of 0 or more"),
        ({"more": 0}, ValueError, "state has ['batch', 'batch_size', 'drop_last', 'epoch', 'more'"),
    ],
)
def test_a_state_that_does_not_fit_is_refused(change, error, message):
    loader = DataLoader(FEW, 2)
    state = loader.state_dict()
    with pytest.raises(error) as caught:
        loader.load_state_dict({**state, **change})
    assert str(caught.value).startswith(f"[DataLoader] {message}")
    assert loader.state_dict() == state


def test_a_batch_size_may_be_numpys_and_larger_than_the_dataset():
    loader = DataLoader(FEW, np.int32(5), shuffle=np.False_)
    assert type(loader.batch_size) is int
    assert numbers(loader) == [[0, 1, 2]]
    assert len(DataLoader(FEW, sys.maxsize)) == 1
