"""StreamLoader, Map and Prefetch: the batches, what is resumed, threads that end, errors."""

import copy
import itertools
import json
import signal
import threading
import time

import numpy as np
import pytest
from interruptions import Interruption, interrupted_at_every_line, needs_timers

import tinygrad_like as tg
from tinygrad_like.data import (
    DataLoader,
    Dataset,
    ListDataset,
    Map,
    Prefetch,
    StreamLoader,
    TextBatches,
    WeightedSampler,
)

STEPS = 17


def samples():
    return iter(range(10))


def jitter(batch, random):
    values = batch[0] if isinstance(batch, tuple) else np.asarray(batch)
    return values + random.integers(1000, size=values.shape)


def dataset():
    return DataLoader(Dataset(np.arange(10)), 3, shuffle=True, seed=5)


def weighted():
    sampler = WeightedSampler(np.arange(10), 11)
    return DataLoader(ListDataset(range(10)), 3, sampler=sampler, seed=5)


def stream():
    return StreamLoader(samples, 3, buffer=4, seed=5)


def text():
    return TextBatches(np.arange(100), 3, 2, seed=5)


LOADERS = {
    "dataset": dataset,
    "stream": stream,
    "plain_stream": lambda: StreamLoader(samples, 3),
    "map": lambda: Map(dataset(), jitter, random=True, seed=1),
    "map_of_map": lambda: Map(
        Map(weighted(), jitter, random=True, seed=1), jitter, random=True, seed=2
    ),
    "map_of_a_stream": lambda: Map(stream(), jitter, random=True, seed=1),
    "map_of_text": lambda: Map(text(), jitter, random=True, seed=1),
    "text": text,
}
WRAPPED = {
    **LOADERS,
    **{f"prefetched_{name}": lambda own=make: Prefetch(own(), 3) for name, make in LOADERS.items()},
    "map_of_prefetched": lambda: Map(Prefetch(dataset()), jitter, random=True, seed=1),
    "prefetched_prefetched": lambda: Prefetch(Prefetch(dataset())),
}  # fmt: skip
every_loader = pytest.mark.parametrize("make", WRAPPED.values(), ids=WRAPPED)


def plain(batch):
    if isinstance(batch, tuple | list):
        return [plain(part) for part in batch]
    return batch.tolist() if isinstance(batch, np.ndarray) else batch


def taken(loader, steps, found=None):
    """The next batches of as many epochs as they need; the last loop is left."""
    found = [] if found is None else found
    while len(found) < steps:
        for batch in loader:
            found.append(plain(batch))
            if len(found) == steps:
                break
    return found


def threads():
    """Those that are there still after the time that one needs to end."""
    end = time.monotonic() + 5
    while time.monotonic() < end:
        found = [t for t in threading.enumerate() if t.name == "Prefetch"]
        if not found:
            break
        time.sleep(0.001)
    return found


@every_loader
def test_a_loader_resumes_where_its_state_was_taken(make):
    whole = taken(make(), STEPS)
    for at in range(10):
        loader = make()
        state, count = loader.state_dict(), 0
        while count < at:
            for _ in loader:
                count += 1
                if count == at:
                    state = json.loads(json.dumps(loader.state_dict()))
                    time.sleep(0.002)  # a thread runs ahead
                    break
        assert loader.state_dict() == state
        taken(loader, 2)  # a loader that has already run is set back as well
        for resumed in (make(), loader):
            resumed.load_state_dict(state)
            assert taken(resumed, STEPS - at) == whole[at:]
    assert not threads()


@pytest.mark.parametrize("name", LOADERS)
def test_prefetching_changes_nothing(name):
    """The states fit both ways, and a loop that is left goes on as it does without a thread."""
    alone, ahead = LOADERS[name](), Prefetch(LOADERS[name](), 2)
    for steps in (2, 3, 1, 6):
        assert taken(ahead, steps) == taken(alone, steps)
        assert ahead.state_dict() == alone.state_dict()
    fresh = LOADERS[name]()
    fresh.load_state_dict(ahead.state_dict())
    ahead.load_state_dict(alone.state_dict())
    assert taken(fresh, 5) == taken(ahead, 5)


def test_a_random_map_differs_by_batch_epoch_and_seed():
    def zeros(batch, random):
        return random.integers(10**6, size=2).tolist()

    def make(seed):
        return Map(DataLoader(Dataset(np.zeros(8)), 2), zeros, random=True, seed=seed)

    first, second = make(1), make(2)
    found = [tuple(x) for loader in (first, first, second) for x in loader]
    assert len(set(found)) == 12
    assert [tuple(x) for x in make(1)] == found[:4]
    tg.seed(3)
    drawn = Map(dataset(), jitter, random=True)
    other = Map(dataset(), jitter, random=True)
    assert drawn.seed != other.seed
    other.load_state_dict(drawn.state_dict())
    assert taken(other, 5) == taken(drawn, 5)
    with pytest.raises(ValueError, match="of a map with seed 1, this has 2"):
        second.load_state_dict(first.state_dict())
    with pytest.raises(ValueError, match="has no map_seed_1"):
        second.load_state_dict(dataset().state_dict())


def test_a_map_without_random_numbers():
    loader = Map(dataset(), lambda batch: len(batch[0]))
    assert list(loader) == [3, 3, 3, 1]
    assert (len(loader), loader.epoch) == (4, 1)


# Streams


@pytest.mark.parametrize("buffer", [0, 1, 4, 10, 50])
@pytest.mark.parametrize("drop_last", [True, False])
def test_a_stream_has_each_sample_once(buffer, drop_last):
    loader = StreamLoader(samples, 3, buffer=buffer, seed=0, drop_last=drop_last)
    epochs = [[int(i) for batch in loader for i in batch] for _ in range(2)]
    for found in epochs:
        assert len(set(found)) == len(found) == (9 if drop_last else 10)
    assert (epochs[0] != epochs[1]) == (buffer > 1)
    if buffer <= 1:
        assert epochs[0] == list(range(len(epochs[0])))
    assert loader.epoch == 2


def test_a_stream_that_does_not_end_and_one_by_epoch():
    endless = StreamLoader(itertools.count, 2)
    assert plain(list(itertools.islice(endless, 3))) == [[0, 1], [2, 3], [4, 5]]
    by_epoch = StreamLoader(lambda epoch: [epoch] * 2, 2, by_epoch=True)
    assert [plain(list(by_epoch)) for _ in range(2)] == [[[0, 0]], [[1, 1]]]


def test_streams_that_are_empty_or_differ_are_noticed():
    used = iter(range(4))
    loader = StreamLoader(lambda: used, 2)
    assert len(list(loader)) == 2
    with pytest.raises(ValueError, match=r"\[StreamLoader\] make\(\) gave no batch"):
        list(loader)
    loader = StreamLoader(samples, 2)
    loader.load_state_dict({**loader.state_dict(), "batch": 7})
    with pytest.raises(ValueError, match="ended after 5 batches, but the state is of batch 7"):
        list(loader)


# Threads


def test_errors_come_where_the_batch_would_have_come():
    def failing(batch):
        if batch[0][0] == 4:
            raise KeyError("broken")
        return batch[0].tolist()

    loader = Prefetch(Map(DataLoader(Dataset(np.arange(10)), 2), failing), 4)
    found = []
    with pytest.raises(KeyError, match="broken"):
        found.extend(loader)
    assert found == [[0, 1], [2, 3]]
    assert loader.state_dict()["batch"] == 2
    assert not threads()


@pytest.mark.parametrize("random", [True, False])
def test_a_batch_on_which_the_function_fails_was_not_taken(random):
    fails = [True]

    def failing(batch, *numbers):
        if batch[0][0] == 4 and fails:
            raise Interruption
        return batch[0].tolist()

    def make():
        batches = DataLoader(Dataset(np.arange(10)), 2)
        return Map(batches, failing, random=random, seed=1)

    loader, found = make(), []
    with pytest.raises(Interruption):
        found.extend(loader)
    assert found == [[0, 1], [2, 3]]
    assert loader.state_dict()["batch"] == 2
    fails.clear()
    again = make()
    again.load_state_dict(loader.state_dict())
    assert list(again) == [[4, 5], [6, 7], [8, 9]]
    assert [loader.epoch, len(list(loader)), loader.epoch] == [0, 5, 2]


def test_an_interruption_in_the_thread_reaches_the_loop():
    def interrupted(batch):
        raise Interruption

    with pytest.raises(Interruption):
        list(Prefetch(Map(dataset(), interrupted)))
    assert not threads()


def left_by_an_error(loader):
    for _ in loader:
        raise Interruption


def test_a_thread_ends_with_its_loop():
    loader = Prefetch(dataset())
    loop = iter(loader)
    next(loop)
    assert "Prefetch" in {t.name for t in threading.enumerate()}
    loop.close()
    assert not threads()
    for _ in loader:
        break
    assert not threads()
    with pytest.raises(Interruption):
        left_by_an_error(loader)
    assert not threads()
    iter(loader)  # never asked for a batch: no thread begins
    assert not threads()


def test_the_queue_is_bounded():
    made = []

    def counted():
        for i in range(1000):
            made.append(i)
            yield i

    loop = iter(Prefetch(StreamLoader(counted, 1), 3))
    next(loop)
    time.sleep(0.05)
    assert len(made) <= 5  # the one handed out, three in the queue, one that waits
    loop.close()


def test_a_newer_loop_ends_the_older_one_loudly():
    loader = Prefetch(dataset())
    older = iter(loader)
    next(older)
    newer = iter(loader)
    assert len(list(newer)) == 4
    with pytest.raises(RuntimeError, match=r"\[Prefetch\] this loop was ended by a newer one"):
        next(older)
    older = iter(loader)
    next(older)
    loader.load_state_dict(loader.state_dict())
    with pytest.raises(RuntimeError, match="ended by a newer one, or by a state"):
        next(older)
    assert not threads()


def test_many_short_epochs_lose_nothing():
    loader = Prefetch(DataLoader(Dataset(np.arange(7)), 2), 1)
    for _ in range(100):
        assert [int(i) for (x,) in loader for i in x] == list(range(7))
    assert loader.epoch == 100


@needs_timers
def test_ctrl_c_leaves_a_loop_that_waits():
    release = threading.Event()

    def slow(batch):
        release.wait(10)
        return batch

    def handler(*_):
        release.set()  # the thread is waited for, so that none is left behind
        raise Interruption

    loader = Prefetch(Map(dataset(), slow))
    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(Interruption):
            next(iter(loader))
    finally:
        signal.signal(signal.SIGALRM, before)
    assert not threads()
    assert loader.state_dict()["batch"] == 0


def test_a_loop_that_is_interrupted_stands_before_a_batch_or_after_it():
    def start():
        loader = Prefetch(dataset())
        loop = iter(loader)
        next(loop)
        return lambda: next(loop, None), loader.state_dict

    interrupted_at_every_line(start, within=("tinygrad_like/data/wrapped",))
    assert not threads()


def test_a_copy_goes_on_after_the_last_batch():
    loader = Prefetch(dataset())
    whole = taken(dataset(), 8)
    loop = iter(loader)
    next(loop)
    copied = copy.deepcopy(loader)
    loop.close()
    copied.load_state_dict(copied.state_dict())
    assert taken(copied, 7) == whole[1:]


def test_a_checkpoint_has_the_state_of_the_last_batch(tmp_path):
    whole = taken(WRAPPED["prefetched_map"](), 9)
    loader, fresh = WRAPPED["prefetched_map"](), WRAPPED["prefetched_map"]()
    taken(loader, 5)
    tg.io.Checkpoint(tmp_path / "state", {}, loader=loader).save()
    taken(fresh, 2)
    tg.io.Checkpoint(tmp_path / "state", {}, loader=fresh).load()
    assert taken(fresh, 4) == whole[5:]


@pytest.mark.long
def test_a_run_trains_through_a_prefetched_map(tmp_path):
    """Stopped within an epoch and resumed, it sees the same batches."""

    def run(folder, stop=None, resume=False):
        tg.seed(0)
        loader = Prefetch(Map(dataset(), jitter, random=True, seed=3), 2)
        w = tg.nn.Dense(1, 1)
        seen = []
        run = tg.Run(tmp_path / folder, model=w, loader=loader, resume=resume)
        for batch in run.epochs(loader, 3):
            seen.append(batch.tolist())
            if len(seen) == stop:
                run.save()
                break
        return seen

    whole = run("whole")
    first = run("parts", stop=6)
    assert first == whole[:6]
    assert run("parts", resume=True) == whole[6:]


@pytest.mark.parametrize(
    ("error", "words", "call"),
    [
        (TypeError, "[StreamLoader] make is a list_iterator", lambda: StreamLoader(iter([]))),
        (ValueError, "batch_size is 0", lambda: StreamLoader(samples, 0)),
        (ValueError, "buffer is -1", lambda: StreamLoader(samples, 2, buffer=-1)),
        (TypeError, "[Map] batches is a list", lambda: Map([], len)),
        (TypeError, "[Map] function is a int", lambda: Map(dataset(), 3)),
        (ValueError, "random is 1", lambda: Map(dataset(), len, random=1)),
        (TypeError, "[Prefetch] batches is a list", lambda: Prefetch([])),
        (ValueError, "size is 0", lambda: Prefetch(dataset(), 0)),
        (TypeError, "StreamLoader has no length", lambda: len(Prefetch(stream()))),
        (ValueError, "loader with samples 9", lambda: Prefetch(dataset()).load_state_dict(
            {**dataset().state_dict(), "samples": 9})),
    ],
)  # fmt: skip
def test_mistakes_are_named(error, words, call):
    with pytest.raises(error) as raised:
        call()
    assert words in str(raised.value)
