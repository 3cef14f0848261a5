"""Files that were made or altered to do harm, disks that are full, paths that are none."""

import errno
import json
import os
import struct
import subprocess
import sys

import numpy as np
import pytest
from interruptions import frozen, interrupted_at_every_line

import tinygrad_like as tg
from tinygrad_like import io, nn, optim


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state.safetensors"


def crafted(path, tree, arrays=(), **changes):
    """A file whose checksum is right, of any tree; the raw text of its metadata if given."""
    arrays = {name: np.ones(2, np.float32) for name in arrays}
    try:
        crc = io._checksum(tree, arrays)
    except RecursionError:
        crc = "0"
    from safetensors.numpy import save

    text = changes.get("text") or json.dumps({"tree": tree, "crc32": crc})
    path.write_bytes(save(arrays, {io.METADATA: text}))


def nested(depth, text='{"a":', end="}"):
    return text * depth + "1" + end * depth


@pytest.mark.parametrize(
    "tree",
    [
        {"a": {"/array": "nothing"}},
        {"a": {"/array": ["w"]}},
        {"a": {"/array": {}}},
        {"a": {"/array": None}},
        {"a": {"/tuple": 3}},
        {"a": {"/tuple": "text"}},
        {"a": {"/tuple": {"b": 1}}},
        {"a": {"/tuple": [{"/array": "nothing"}]}},
        {"/array": "w"},
        {"/tuple": [1]},
        [1, 2],
        "text",
        None,
        7,
    ],
    ids=str,
)
def test_a_tree_that_save_cannot_have_made_is_refused(path, tree):
    crafted(path, tree, ["w"])
    with pytest.raises(io.FileError, match=r"^\[load\] .* was altered.*; nothing was changed$"):
        io.load(path)


@pytest.mark.parametrize(
    "text",
    [
        *("", "7", "null", "[]", "{}", "{", '{"tree": {}}', '{"crc32": "0"}', '"tree"'),
        *('{"tree": {}, "crc32": null}', '{"tree": ' + nested(50_000) + ', "crc32": "0"}'),
        '{"tree": ' + nested(100_000, "[", "]") + ', "crc32": "0"}',
        '{"tree": ' + nested(990) + ', "crc32": "0"}',
        '{"tree": {"a": ' + "9" * 5000 + '}, "crc32": "0"}',
    ],
    ids=lambda text: text[:24],
)
def test_metadata_that_save_cannot_have_made_is_refused(path, text):
    crafted(path, {}, text=text or " ")
    with pytest.raises(io.FileError):
        io.load(path)


def written(path, header, size=16):
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * size)


def tensor(**changes):
    return {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]} | changes


@pytest.mark.parametrize(
    "header",
    [
        *([], 7, "text", None, {"w": 1}, {"w": []}, {"w": {}}),
        *({"w": tensor(shape=shape)} for shape in (None, "4", [-4], [4.0], [2**62, 4], [[4]])),
        *({"w": tensor(dtype=dtype)} for dtype in (None, "F31", 32, "F4", "F8_E5M2", "C64")),
        *({"w": tensor(data_offsets=at)} for at in ([0], [16, 0], [0, 2**60], [-16, 0], "0")),
        {"w": tensor(shape=[1] * 80 + [4])},
        {"w": tensor(shape=[0, 2**63 - 1], data_offsets=[0, 0])},
        {"w": tensor(shape=[2**40, 2**40, 0], data_offsets=[0, 0])},
        {"w": tensor(dtype="BF16", shape=[1] * 80 + [8])},
        {"w": tensor(dtype="BF16", shape=[3])},
        {"w": tensor(), "__metadata__": {"a": 1}},
        {"w": tensor(), "__metadata__": []},
        b'{"w":' + json.dumps(tensor()).encode() + b',"w":7}',
        nested(10_000).encode(),
        b'{"w"',
        b"\xff\xfe\xfd",
        b"",
    ],
    ids=lambda header: str(header)[:60],
)
def test_a_header_that_makes_no_sense_is_refused(path, header):
    written(path, header)
    with pytest.raises(io.FileError):
        io.load(path)


def test_thousands_of_altered_files_are_loaded_as_they_were_or_refused(path):
    """Bytes of valid files are changed, cut, doubled, exchanged: never another error."""
    rng = np.random.default_rng(0)
    state = {"m": {"w": np.arange(6.0), "t": (1, [2.5, {"a": None}])}, "h": np.ones(3, np.float16)}
    io.save(path, state)
    ours = path.read_bytes()
    from safetensors.numpy import save

    plain = save({"w": np.arange(6.0), "b": np.ones(2, np.int8)}, {"format": "pt"})
    written(path, {"w": tensor(dtype="BF16", shape=[2, 4])})
    brief = path.read_bytes()
    words = [b"/array", b"/tuple", b"{", b"}", b"[", b"]", b'"', b"null", b"-1", b"1e999", b"F64"]
    words += [b"BF16", b"shape", b"9" * 30, b"tree", b"\x00", b"\xff", b"\\u0000", b"9" * 5000]
    refused = 0
    for _ in range(3000):
        content = bytearray((ours, plain, brief)[rng.integers(3)])
        for _ in range(rng.integers(1, 4)):
            at, to = sorted(int(n) for n in rng.integers(0, len(content) + 1, 2))
            match rng.integers(5):
                case 0:
                    content[at:at] = words[rng.integers(len(words))]
                case 1:
                    content[at : at + 1] = bytes([rng.integers(256)])
                case 2:
                    del content[at : min(to, at + 12)]
                case 3:
                    content[at:at] = content[at : min(to, at + 30)]
                case 4:
                    size = int.from_bytes(content[:8], "little") + int(rng.integers(-40, 40))
                    content[:8] = struct.pack("<Q", max(size, 0))
        path.write_bytes(content)
        try:
            found = io.load(path)
        except io.FileError as error:
            assert str(error).startswith("[load] ")  # noqa: PT017
            refused += 1
        else:
            assert isinstance(found, dict)
    assert 2000 < refused < 3000


@pytest.mark.parametrize("path", [None, 3, b"x", 1.5, ["x"]])
def test_what_is_no_path_is_refused(path):
    calls = (
        lambda: io.load(path),
        lambda: io.save(path, {}),
        lambda: io.Checkpoint(path, {}),
    )
    for call in calls:
        with pytest.raises(
            TypeError, match=r"^\[(load|save|Checkpoint)\] path is .*, expected a str"
        ):
            call()


def test_a_state_that_holds_itself_is_refused(path):
    state = {}
    state["state"] = state
    with pytest.raises(ValueError, match=r"\[save\] state is nested too deeply, or holds itself"):
        io.save(path, state)


# Full disks


@pytest.mark.skipif(os.name == "nt", reason="Windows has no limits of this kind")
def test_a_full_disk_leaves_the_old_file_and_nothing_else(path):
    """The kernel refuses bytes beyond a limit, also those that a close would flush."""
    code = (
        "import errno, resource, signal, sys, numpy as np; from tinygrad_like import io\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "io.save(sys.argv[1], {'a': np.arange(3)})\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)\n"
        "try: io.save(sys.argv[1], {'a': np.zeros(int(sys.argv[3]))})\n"
        "except OSError as error: print(error.errno)"
    )
    for limit, size in ((1000, 500), (1000, 100_000), (4096, 5000)):
        command = [sys.executable, "-W", "error", "-c", code, str(path), str(limit), str(size)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert (done.stderr, done.stdout) == ("", f"{errno.EFBIG}\n")
        assert os.listdir(path.parent) == [path.name]
        assert io.load(path)["a"].tolist() == [0, 1, 2]


# Checkpoints


def run_of(path, optimizer=optim.Adam, parts=None, **settings):
    model = nn.Sequential(nn.Dense(2, 3), nn.BatchNorm(3))
    step = optimizer(model.parameters(), lr=0.1)
    loader = tg.data.DataLoader(tg.data.Dataset(np.arange(9.0)), 2, shuffle=True)
    held = {"model": model, "optimizer": step, "loader": loader, **(parts or {})}
    return io.Checkpoint(path, settings, **held)


def all_of(checkpoint):
    states = {name: part.state_dict() for name, part in checkpoint.parts.items()}
    return {**states, "random": tg.get_rng_state()}


def test_the_file_of_another_optimizer_changes_nothing(path):
    run_of(path).save()
    other = run_of(path, optim.SGD)
    before = frozen(all_of(other))
    with pytest.raises(ValueError, match="it is of Adam, expected SGD; nothing was changed"):
        other.load()
    assert frozen(all_of(other)) == before


class Counter:
    """A part of the user's, whose state is no copy, and whose load fails halfway."""

    def __init__(self, fails=None):
        self.state, self.fails = {"a": np.zeros(2), "b": 0}, fails

    def state_dict(self):
        return self.state

    def load_state_dict(self, state):
        self.state["a"][:] = state["a"]
        if self.fails:
            fails, self.fails = self.fails, None
            raise fails
        self.state["b"] = state["b"]


@pytest.mark.parametrize("error", [KeyError("b"), MemoryError(), KeyboardInterrupt()])
def test_a_part_that_fails_halfway_gets_back_what_it_had(path, error):
    first = run_of(path, parts={"counter": Counter()})
    first.parts["counter"].state.update(a=np.ones(2), b=7)
    first.save()
    second = run_of(path, parts={"counter": Counter(error)})
    before = frozen(all_of(second))
    with pytest.raises(type(error)):
        second.load()
    assert frozen(all_of(second)) == before
    second.load()
    assert second.parts["counter"].state["b"] == 7


def test_a_load_that_is_interrupted_is_whole(path):
    tg.seed(1)
    run_of(path).save()

    def start():
        tg.seed(2)
        checkpoint = run_of(path)
        return checkpoint.load, lambda: all_of(checkpoint)

    counts = interrupted_at_every_line(start, within=["io.py", "changes.py", "loader.py"])
    assert min(counts.values()) > 0, counts


@pytest.mark.parametrize(
    ("error", "words", "make"),
    [
        (TypeError, "settings is a list, expected a dict", lambda: io.Checkpoint("x", [1])),
        (
            TypeError,
            "step is a int, expected an object with state_dict",
            lambda: io.Checkpoint("x", {}, step=1),
        ),
        (
            ValueError,
            "the name 'random' is taken",
            lambda: io.Checkpoint("x", {}, random=Counter()),
        ),
    ],
)
def test_a_checkpoint_of_what_cannot_be_kept_is_refused(error, words, make):
    with pytest.raises(error, match=words):
        make()


def test_a_file_of_something_else_is_refused_by_a_checkpoint(path):
    checkpoint = run_of(path)
    io.save(path, {**all_of(checkpoint), "settings": np.ones(2)})
    with pytest.raises(io.FileError, match="it lacks settings of a run; nothing was changed"):
        checkpoint.load()
    io.save(path, {"weight": np.ones(2)})
    with pytest.raises(io.FileError, match=r"it lacks \['loader', 'model', 'optimizer', 'random'"):
        checkpoint.load()
