"""Datasets of lists and of datasets, samplers, padding: what a DataLoader makes of them."""

import json

import numpy as np
import pytest
from oracle import needs_torch, torch

import tinygrad_like as tg
from tinygrad_like.data import (
    BalancedSampler,
    BatchSampler,
    BucketSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    ListDataset,
    MappedDataset,
    PadCollate,
    Sampler,
    Subset,
    WeightedSampler,
    collate,
    pad_sequence,
    random_split,
)

TEN = Dataset(np.arange(10), np.arange(10) ** 2)


# Datasets


def test_a_subset_of_arrays_is_read_as_arrays():
    part = Subset(Subset(TEN, [9, 8, 2, 2, 0]), [4, 1, 2])
    assert len(part) == 3
    assert [int(x) for x, _ in part] == [0, 8, 2]
    (batch,) = DataLoader(part, 3)
    np.testing.assert_array_equal(batch, [[0, 8, 2], [0, 64, 4]])
    assert isinstance(batch, tuple)


def test_lists_chains_and_maps():
    letters = ListDataset(c for c in "abc")
    both = ConcatDataset([letters, ListDataset([]), ListDataset("de")])
    assert [both[i] for i in (-1, 0, 3, -5)] == ["e", "a", "d", "a"]
    upper = MappedDataset(both, str.upper)
    assert list(DataLoader(upper, 2)) == [["A", "B"], ["C", "D"], ["E"]]
    assert [*both] == list("abcde")  # indices past the end stop a loop


def test_arrays_that_are_chained_give_the_batches_of_one_dataset():
    x = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)
    labels = np.arange(10)
    both = ConcatDataset([Dataset(x[:4], labels[:4]), Dataset(x[4:], labels[4:])])
    whole = DataLoader(Dataset(x, labels), 3, shuffle=True, seed=1)
    for ours, expected in zip(DataLoader(both, 3, shuffle=True, seed=1), whole, strict=True):
        for a, b in zip(ours, expected, strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("lengths", [[7, 2, 1], [0.7, 0.2, 0.1], [1 / 3, 1 / 3, 1 / 3], [0, 10]])
def test_a_split_has_each_sample_once(lengths):
    parts = random_split(TEN, lengths, seed=3)
    assert sorted(int(x) for part in parts for x, _ in part) == list(range(10))
    again = random_split(TEN, lengths, seed=3)
    assert [p.indices.tolist() for p in parts] == [p.indices.tolist() for p in again]
    if lengths[0] != 1 / 3:
        expected = [round(n * 10) if isinstance(n, float) else n for n in lengths]
        assert [len(part) for part in parts] == expected
    else:
        assert [len(part) for part in parts] == [4, 3, 3]


def test_a_split_is_repeated_by_tg_seed():
    found = []
    for _ in range(2):
        tg.seed(4)
        found.append(random_split(TEN, [5, 5])[0].indices.tolist())
    assert found[0] == found[1] != random_split(TEN, [5, 5])[0].indices.tolist()


@pytest.mark.parametrize(
    ("error", "words", "call"),
    [
        (TypeError, "[Subset] got list, expected a Dataset: try List", lambda: Subset([1], [0])),
        (IndexError, "[Subset] there is no sample 10 among 10", lambda: Subset(TEN, [10])),
        (IndexError, "[Subset] there is no sample -1", lambda: Subset(TEN, [-1])),
        (TypeError, "[Subset] indices are float64 (1,)", lambda: Subset(TEN, [0.5])),
        (TypeError, "[Subset] indices are bool (2,)", lambda: Subset(TEN, [True, False])),
        (IndexError, "[ListDataset] index 3 does not fit 3", lambda: ListDataset("abc")[3]),
        (IndexError, "[ListDataset] index is a float", lambda: ListDataset("abc")[0.5]),
        (TypeError, "[ListDataset] samples is a int", lambda: ListDataset(3)),
        (ValueError, "[ConcatDataset] got no datasets", lambda: ConcatDataset([])),
        (TypeError, "[ConcatDataset] got list", lambda: ConcatDataset([[1]])),
        (TypeError, "[MappedDataset] function is a int", lambda: MappedDataset(TEN, 3)),
        (ValueError, "the lengths [5] have the sum 5", lambda: random_split(TEN, [5])),
        (ValueError, "have the sum 0.5, not 1", lambda: random_split(TEN, [0.25, 0.25])),
        (ValueError, "a fraction is -0.5", lambda: random_split(TEN, [-0.5, 1.5])),
        (ValueError, "a length is -1", lambda: random_split(TEN, [-1, 11])),
        (TypeError, "[random_split] lengths is 5", lambda: random_split(TEN, 5)),
    ],
)  # fmt: skip
def test_mistakes_with_datasets_are_named(error, words, call):
    with pytest.raises(error) as raised:
        call()
    assert words in str(raised.value)


# Samplers


def order(sampler, seed=0):
    return sampler.order(np.random.default_rng(seed))


def test_weights_are_probabilities():
    weights = np.array([0, 1, 3, 0, 6.0])
    found = np.bincount(order(WeightedSampler(weights, 60_000)), minlength=5) / 60_000
    np.testing.assert_allclose(found, weights / 10, atol=0.01)
    tiny = WeightedSampler(weights * 1e-310, 1000)
    assert set(order(tiny)) == {1, 2, 4}


def test_without_replacement_a_sample_comes_once():
    """The first one is drawn by its weight, as with replacement."""
    sampler = WeightedSampler([0, 1, 3, 6], 3, replacement=False)
    first = np.zeros(4)
    for seed in range(3000):
        found = order(sampler, seed)
        assert sorted(found) == [1, 2, 3]
        first[found[0]] += 1 / 3000
    np.testing.assert_allclose(first, [0, 0.1, 0.3, 0.6], atol=0.03)


def test_every_class_comes_equally_often():
    labels = np.array(["b", "a", "a", "c", "a", "b", "a", "a"])
    for per_class in (None, 3, 11):
        sampler = BalancedSampler(labels, per_class)
        found = order(sampler)
        assert len(found) == len(sampler)
        expected = per_class or 5
        assert np.unique(labels[found], return_counts=True)[1].tolist() == [expected] * 3
        for label in "abc":
            counts = np.bincount(found, minlength=8)[labels == label]
            assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("drop_last", [True, False])
@pytest.mark.parametrize("size", [1, 7, 20, 200])
def test_buckets_have_each_sample_once_and_similar_lengths(size, drop_last, shuffle):
    lengths = np.random.default_rng(0).integers(1, 100, size=101)
    sampler = BucketSampler(lengths, size, pool=5, shuffle=shuffle, drop_last=drop_last)
    batches = sampler.batches(np.random.default_rng(1))
    assert len(batches) == len(sampler)
    found = [int(i) for batch in batches for i in batch]
    assert len(set(found)) == len(found) == (101 - 101 % size if drop_last else 101)
    if size == 7:
        spread = np.mean([np.ptp(lengths[batch]) for batch in batches])
        assert spread < 35  # about 75 for random batches
    if not shuffle and not drop_last:
        assert (np.diff(lengths[found]) >= 0).all()


class Backwards(Sampler):
    def __len__(self):
        return 10

    def order(self, random):
        return np.arange(10)[::-1]


LOADERS = {
    "weighted": lambda: DataLoader(TEN, 3, seed=2, sampler=WeightedSampler(np.arange(10), 14)),
    "balanced": lambda: DataLoader(TEN, 3, seed=2, sampler=BalancedSampler(np.arange(10) % 4)),
    "buckets": lambda: DataLoader(TEN, seed=2, batch_sampler=BucketSampler(np.arange(10) % 4, 3)),
    "own": lambda: DataLoader(TEN, 3, seed=2, sampler=Backwards()),
    "subset": lambda: DataLoader(Subset(TEN, [1, 5, 7, 7, 9]), 2, shuffle=True, seed=2),
    "list": lambda: DataLoader(ListDataset(range(10)), 3, shuffle=True, seed=2, drop_last=True),
}


def batches_of(loader, steps):
    found = []
    while len(found) < steps:
        for batch in loader:
            found.append([np.asarray(part).tolist() for part in batch])
            if len(found) == steps:
                break
    return found


@pytest.mark.parametrize("make", LOADERS.values(), ids=LOADERS)
def test_every_sampler_resumes_where_its_state_was_taken(make):
    whole = batches_of(make(), 13)
    for taken in range(10):
        loader = make()
        if taken:
            batches_of(loader, taken)
        resumed = make()
        resumed.load_state_dict(json.loads(json.dumps(loader.state_dict())))
        assert batches_of(resumed, 13 - taken) == whole[taken:]


def test_epochs_of_a_sampler_differ_and_a_seed_repeats_them():
    loader = LOADERS["weighted"]()
    first, second = batches_of(loader, 5), batches_of(loader, 5)
    assert first != second
    assert batches_of(LOADERS["weighted"](), 5) == first


def test_a_state_of_another_sampler_is_refused():
    state = LOADERS["weighted"]().state_dict()
    other = DataLoader(TEN, 3, seed=2, sampler=WeightedSampler(np.arange(10)[::-1], 14))
    with pytest.raises(ValueError, match="the state is of a loader with sampler"):
        other.load_state_dict(state)
    with pytest.raises(ValueError, match="state has"):
        DataLoader(TEN, 3, seed=2, shuffle=True).load_state_dict(state)


class NoBatches(BatchSampler):
    def __len__(self):
        return 0

    def batches(self, random):
        return []


@pytest.mark.parametrize(
    ("error", "words", "call"),
    [
        (ValueError, "weights have shape ()", lambda: WeightedSampler(3)),
        (ValueError, "finite and at least 0", lambda: WeightedSampler([1, -1])),
        (ValueError, "finite and at least 0", lambda: WeightedSampler([1, np.nan])),
        (ValueError, "all weights are 0", lambda: WeightedSampler([0, 0])),
        (ValueError, "only 1 samples", lambda: WeightedSampler([0, 1], 2, replacement=False)),
        (ValueError, "count is 0", lambda: WeightedSampler([1], 0)),
        (ValueError, "labels are float64 (1,)", lambda: BalancedSampler([0.5])),
        (ValueError, "lengths are float64 (1,)", lambda: BucketSampler([0.5], 2)),
        (TypeError, "sampler is a list, expected a Sam", lambda: DataLoader(TEN, sampler=[1])),
        (TypeError, "collate is a int", lambda: DataLoader(TEN, collate=3)),
        (ValueError, "shuffle out", lambda: DataLoader(TEN, shuffle=True, sampler=Backwards())),
        (
            ValueError,
            "leave batch_size",
            lambda: DataLoader(TEN, 3, batch_sampler=BucketSampler([1] * 10, 2)),
        ),
        (ValueError, "gives no batch", lambda: DataLoader(TEN, batch_sampler=NoBatches())),
    ],
)  # fmt: skip
def test_mistakes_with_samplers_are_named(error, words, call):
    with pytest.raises(error) as raised:
        call()
    assert words in str(raised.value)


# Batches of samples


def test_samples_are_stacked_by_their_kind():
    samples = [
        {"x": np.ones((2, 2), np.float32), "name": "a", "pair": (1, 2.0), "flag": True},
        {"flag": False, "x": np.zeros((2, 2), np.float32), "name": "b", "pair": (3, 4.0)},
    ]
    batch = collate(samples)
    assert (batch["x"].shape, batch["x"].dtype) == ((2, 2, 2), np.float32)
    assert batch["name"] == ["a", "b"]
    assert [part.tolist() for part in batch["pair"]] == [[1, 3], [2.0, 4.0]]
    assert batch["flag"].dtype == bool
    assert collate([None, None]) == [None, None]


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("rest", [(), (2,), (2, 3)])
def test_sequences_are_padded(side, rest):
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=(n, *rest)).astype(np.float32) for n in (3, 0, 5, 1)]
    found = pad_sequence(arrays, padding_value=-7, padding_side=side, length=6)
    assert (found.values.shape, found.values.dtype) == ((4, 6, *rest), np.float32)
    assert found.lengths.tolist() == [3, 0, 5, 1]
    for row, padding, array in zip(found.values, found.padding, arrays, strict=True):
        np.testing.assert_array_equal(row[~padding], array)
        assert (row[padding] == -7).all()
        assert (np.diff(padding.astype(int)) * (1 if side == "right" else -1) >= 0).all()


@needs_torch
def test_padding_is_torchs():
    arrays = [np.arange(n) for n in (3, 1, 4)]
    tensors = [torch.tensor(a) for a in arrays]
    for side in ("right", "left"):
        expected = torch.nn.utils.rnn.pad_sequence(
            tensors, batch_first=True, padding_value=9, padding_side=side
        )
        found = pad_sequence(arrays, padding_value=9, padding_side=side).values
        np.testing.assert_array_equal(found, expected.numpy())


def test_attention_ignores_what_was_padded():
    tg.seed(0)
    layer = tg.nn.MultiHeadAttention(4, 2)
    arrays = [np.random.default_rng(n).normal(size=(n, 4)).astype(np.float32) for n in (3, 2)]
    batch = pad_sequence(arrays, padding_value=100)
    x = tg.Tensor(batch.values)
    found = layer(x, key_padding_mask=batch.padding).numpy()
    for row, array in zip(found, arrays, strict=True):
        alone = layer(tg.Tensor(array[None])).numpy()[0]
        np.testing.assert_allclose(row[: len(array)], alone, rtol=1e-5, atol=1e-6)


def test_ragged_samples_become_padded_batches():
    samples = [(np.arange(n), np.ones((n, 2)), n % 2) for n in range(1, 8)]
    loader = DataLoader(
        ListDataset(samples),
        batch_sampler=BucketSampler([len(s[0]) for s in samples], 3, shuffle=False),
        collate=PadCollate(padding_value={0: -1}, multiple=4),
    )
    batches = list(loader)
    assert [tokens.values.shape for tokens, _, _ in batches] == [(3, 4), (3, 8), (1, 8)]
    tokens, points, labels = batches[0]
    assert tokens.values.tolist() == [[0, -1, -1, -1], [0, 1, -1, -1], [0, 1, 2, -1]]
    assert points.values[0].tolist() == [[1, 1], [0, 0], [0, 0], [0, 0]]
    assert labels.tolist() == [1, 0, 1]
    one = PadCollate(fields=["a"])([{"a": [1, 2], "b": [3]}, {"a": [], "b": [4]}])
    assert one["a"].values.tolist() == [[1, 2], [0, 0]]
    assert one["b"][0].tolist() == [3, 4]
    assert PadCollate()([np.arange(2), np.arange(1)]).lengths.tolist() == [2, 1]


@pytest.mark.parametrize(
    ("error", "words", "call"),
    [
        (ValueError, "shapes [(1,), (2,)], exp", lambda: collate([np.ones(1), np.ones(2)])),
        (ValueError, "have other keys", lambda: collate([{"a": 1}, {"b": 1}])),
        (ValueError, "samples have ['1', '2'] parts", lambda: collate([(1,), (1, 2)])),
        (TypeError, "a sample is a Tensor", lambda: collate([tg.ones(2)])),
        (ValueError, "got no sequences", lambda: pad_sequence([])),
        (TypeError, "sequence 1 is a int", lambda: pad_sequence([[1], 3])),
        (ValueError, "differ in the", lambda: pad_sequence([np.ones((2, 2)), np.ones((2, 3))])),
        (ValueError, "3 elements, more than length=2", lambda: pad_sequence([[1, 2, 3]], length=2)),
        (ValueError, "padding_side is 'top'", lambda: pad_sequence([[1]], padding_side="top")),
        (ValueError, "no field 5", lambda: PadCollate(fields=[5])([(1, 2)])),
    ],
)  # fmt: skip
def test_mistakes_with_batches_are_named(error, words, call):
    with pytest.raises(error) as raised:
        call()
    assert words in str(raised.value)
