"""Files of states: what comes back, what is refused, and what a failure leaves behind."""

import math
import os
import struct
import subprocess
import sys
from io import FileIO

import numpy as np
import pytest
from needed import imported

from tinygrad_like import files, io

ARRAYS = {
    "float32": np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3),
    "float16": np.array([0.1, np.inf, -0.0, np.nan], np.float16),
    "float64": np.array([np.pi, np.nan, -np.inf, 5e-324]),
    "bool": np.array([[True, False], [False, True]]),
    **{
        name: np.array([np.iinfo(name).min, 1, np.iinfo(name).max], name)
        for name in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
    },
    "0-d": np.array(2.5, np.float32),
    "zero-size": np.zeros((0, 3, 2), np.float16),
    "transposed": np.arange(12, dtype=np.int32).reshape(3, 4).T,
    "every second": np.arange(10, dtype=np.float32)[::2],
    "reversed": np.arange(4.0)[::-1],
    "Fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "broadcast": np.broadcast_to(np.float32(3), (2, 2)),
    "NumPy scalar": np.float32(0.1),
}

STATE = {
    "model": {"layers.0.weight": np.ones((2, 3), np.float32), "layers.0.bias": np.zeros(3, "f4")},
    "optimizer": {"lr": 0.1, "betas": (0.9, 0.999), "slots": [{"m": np.arange(3.0), "t": 7}, {}]},
    "empty": {"inner": {}},
    "": {"": [[], [None, True, "text"]]},
    "step": 12,
}


class Wrapped:
    """Stands for a Tensor: its array is had by `.numpy()` only."""

    def __init__(self, array):
        self.array = array

    def numpy(self):
        return self.array


def assert_same(found, expected):
    assert type(found) is type(expected), f"{found!r} against {expected!r}"
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        for key in expected:
            assert_same(found[key], expected[key])
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for pair in zip(found, expected, strict=True):
            assert_same(*pair)
    elif isinstance(expected, np.ndarray):
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        assert found.tobytes() == expected.tobytes()
    else:
        assert found == expected or (math.isnan(found) and math.isnan(expected))


def round_trip(path, state):
    io.save(path, state)
    return io.load(path)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state.safetensors"


@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_comes_back_bit_by_bit(path, name):
    array = ARRAYS[name]
    found = round_trip(path, {"a": array})["a"]
    assert type(found) is np.ndarray
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    assert found.tobytes() == array.tobytes()
    assert found.flags.writeable
    assert found.flags.c_contiguous


def test_a_byte_swapped_array_comes_back_in_native_order(path):
    found = round_trip(path, {"a": np.array([1.5, -2.0], ">f4")})["a"]
    assert found.dtype == np.dtype("=f4")
    assert found.tolist() == [1.5, -2.0]


def test_a_nested_state_comes_back_with_types_and_order(path):
    assert_same(round_trip(path, STATE), STATE)


def test_an_empty_state_comes_back(path):
    assert round_trip(path, {}) == {}


@pytest.mark.parametrize(
    "number",
    [0.1, 1e-323, -0.0, math.inf, -math.inf, math.nan, 2**200, -1, True, False],
)
def test_a_number_comes_back_exactly(path, number):
    found = round_trip(path, {"x": number})["x"]
    assert type(found) is type(number)
    if isinstance(number, float):
        assert struct.pack("d", found) == struct.pack("d", number)
    else:
        assert found == number


@pytest.mark.parametrize("text", ["", "naïve 日本", '"/array"\n\\', "\ud800"])
def test_a_string_comes_back_exactly(path, text):
    assert round_trip(path, {"x": text}) == {"x": text}


def test_an_object_with_numpy_is_saved_as_its_array(path):
    found = round_trip(path, {"a": Wrapped(np.arange(3))})["a"]
    assert found.tolist() == [0, 1, 2]


def test_a_loaded_array_outlives_its_file(path):
    found = round_trip(path, {"a": np.arange(3)})["a"]
    path.write_bytes(b"\xff" * path.stat().st_size)
    path.unlink()
    assert found.tolist() == [0, 1, 2]


def test_a_flat_dict_of_arrays_is_a_plain_safetensors_file(path):
    from safetensors.numpy import load_file

    state = {"layers.0.weight": np.ones((2, 3), np.float32), "bias": np.arange(3)}
    io.save(path, state)
    found = load_file(path)
    assert found.keys() == state.keys()
    for name, array in state.items():
        np.testing.assert_array_equal(found[name], array)


def test_torch_reads_a_saved_file(path):
    imported("torch")
    from safetensors.torch import load_file

    io.save(path, {"weight": np.arange(6, dtype=np.float32).reshape(2, 3)})
    assert load_file(path)["weight"].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_a_plain_file_of_others_loads_flat(path):
    from safetensors.numpy import save_file

    save_file({"a/b": np.arange(3), "c": np.ones(2, np.float16)}, path, {"format": "pt"})
    found = io.load(path)
    assert found.layout == "pt"
    assert_same(dict(found), {"a/b": np.arange(3), "c": np.ones(2, np.float16)})


def test_equal_states_give_equal_bytes(path, tmp_path):
    state = {"b": np.ones(2), "a": {"c": np.arange(3), "lr": 0.1}, "name": "x"}
    contents = set()
    for _ in range(10):
        io.save(path, state)
        contents.add(path.read_bytes())
    assert len(contents) == 1


@pytest.mark.parametrize(
    ("state", "error", "message"),
    [
        ([1], TypeError, "[save] state is a list, expected a dict"),
        ({"m": {3: 1}}, TypeError, "[save] 'm' has the key 3, expected a string"),
        ({"m": {"a/b": 1}}, ValueError, "[save] 'm' has the key 'a/b', expected no \"/\" in it"),
        ({"m": {"x": {1, 2}}}, TypeError, "[save] 'm/x' is a set, expected an array, a number"),
        ({"l": [0, object()]}, TypeError, "[save] 'l/1' is a object, expected an array"),
        ({"x": 1j}, TypeError, "[save] 'x' is a complex, expected an array"),
        ({"m": {"w": np.ones(2, "c8")}}, TypeError, "'m/w' is an array of complex64, expected one"),
        ({"w": np.array([None])}, TypeError, "[save] 'w' is an array of object, expected one"),
        ({"w": np.array(["a"])}, TypeError, "[save] 'w' is an array of <U1, expected one of bool"),
        ({"w": np.zeros(2, "M8[s]")}, TypeError, "'w' is an array of datetime64[s], expected one"),
        ({"__metadata__": np.ones(2)}, ValueError, "'__metadata__' cannot name an array"),
    ],
)
def test_what_cannot_be_kept_is_refused_by_name(path, state, error, message):
    with pytest.raises(error) as caught:
        io.save(path, state)
    assert message in str(caught.value)
    assert os.listdir(path.parent) == []


@pytest.mark.parametrize("failing", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failed_save_leaves_the_old_file_and_nothing_else(path, monkeypatch, failing, error):
    io.save(path, {"a": np.arange(3)})
    before = path.read_bytes()

    def fail(*_):
        raise error

    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(type(error)):
        io.save(path, {"a": np.zeros(1000)})
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(path, monkeypatch):
    io.save(path, {"a": np.arange(3)})
    before = path.read_bytes()

    class FullDisk(FileIO):
        def write(self, content):
            super().write(content[:10])
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "open", FullDisk, raising=False)
    with pytest.raises(OSError, match="No space left"):
        io.save(path, {"a": np.zeros(1000)})
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.skipif(files.fcntl is None, reason="Windows has no locks of this kind")
def test_save_removes_what_a_killed_save_left_and_nothing_else(path):
    stale, written = (f"{path.name}.{token}.tmp" for token in ("0123abcd", "89abcdef"))
    others = [f"{path.name}.notes.tmp", f"other-{stale}", f"{stale}.bak"]
    for name in (stale, written, *others):
        path.with_name(name).write_bytes(b"begun")
    with path.with_name(written).open("rb") as file:
        files.fcntl.flock(file, files.fcntl.LOCK_EX)  # as a process has it that is writing
        io.save(path, {"a": 1})
        assert sorted(os.listdir(path.parent)) == sorted([path.name, written, *others])
    io.save(path, {"a": 2})
    assert sorted(os.listdir(path.parent)) == sorted([path.name, *others])
    assert io.load(path) == {"a": 2}


def test_processes_that_save_to_one_file_do_not_disturb_each_other(path):
    code = (
        "import sys, numpy as np; from tinygrad_like import io\n"
        "for k in range(100): io.save(sys.argv[1], {'a': np.full(20_000, k), 'k': k})"
    )
    command = [sys.executable, "-W", "error", "-c", code, str(path)]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    errors = [process.communicate(timeout=60)[1] for process in running]
    assert errors == [""] * 3
    state = io.load(path)
    assert (state["a"] == 99).all()
    assert state["k"] == 99
    assert os.listdir(path.parent) == [path.name]


def test_save_replaces_an_older_file(path):
    io.save(path, {"a": np.arange(3)})
    assert list(round_trip(path, {"b": 1})) == ["b"]
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.skipif(os.name == "nt", reason="links and modes are POSIX")
def test_save_writes_through_a_link_and_keeps_the_mode(path, tmp_path):
    link = tmp_path / "latest"
    link.symlink_to(path)
    path.touch(mode=0o600)
    io.save(link, {"a": 1})
    assert link.is_symlink()
    assert io.load(path) == {"a": 1}
    assert path.stat().st_mode & 0o777 == 0o600


def test_save_refuses_a_folder_and_a_missing_folder(tmp_path):
    with pytest.raises(io.FileError, match="is a folder or a device, expected a file"):
        io.save(tmp_path, {})
    with pytest.raises(FileNotFoundError, match=r"\[save\] there is no folder .*nowhere"):
        io.save(tmp_path / "nowhere" / "state", {})


def test_load_of_no_file_is_file_not_found(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing_here"):
        io.load(tmp_path / "nothing_here")


def test_every_truncation_is_noticed(path):
    io.save(path, {"a": np.arange(4), "step": 3})
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(io.FileError) as caught:
            io.load(path)
    message = str(caught.value)
    assert f"[load] {path} is truncated, altered or not a safetensors file (" in message
    assert message.endswith("; nothing was changed")


def test_every_altered_byte_is_noticed(path):
    io.save(path, {"a": np.arange(4), "lr": 0.1})
    content = path.read_bytes()
    for i in range(len(content)):
        path.write_bytes(content[:i] + bytes([content[i] ^ 1]) + content[i + 1 :])
        with pytest.raises(io.FileError):
            io.load(path)


def test_an_altered_value_is_named_with_both_checksums(path):
    io.save(path, {"a": np.zeros(4)})
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"\x01")
    with pytest.raises(io.FileError) as caught:
        io.load(path)
    message = str(caught.value)
    assert f"[load] {path} was altered after it was saved: its CRC32 is " in message
    assert message.endswith("; nothing was changed")


@pytest.mark.parametrize("content", [b"", b"hello", b"not a file of tensors at all", b"\0" * 64])
def test_another_format_is_refused(path, content):
    path.write_bytes(content)
    with pytest.raises(io.FileError, match="not a safetensors file"):
        io.load(path)


def test_bfloat16_becomes_float32_of_the_same_values(path):
    """As most published models are: 1.5, -2, the smallest, infinity, NaN."""
    bits = np.array([[0x3FC0, 0xC000, 0x0001], [0x7F80, 0x7FC0, 0x8000]], "<u2")
    header = b'{"ok":{"dtype":"F32","shape":[1],"data_offsets":[12,16]},'
    header += b'"w":{"dtype":"BF16","shape":[2,3],"data_offsets":[0,12]}}'
    ok = np.float32(7).tobytes()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bits.tobytes() + ok)
    found = io.load(path)
    assert found["ok"].tolist() == [7]
    assert (found["w"].dtype, found["w"].flags.writeable) == (np.dtype("f4"), True)
    expected = np.array([[1.5, -2.0, 2.0**-133], [np.inf, np.nan, -0.0]], np.float32)
    assert found["w"].tobytes() == expected.tobytes()


def test_arrays_of_bfloat16_are_saved_as_such(path):
    ml_dtypes = imported("ml_dtypes")
    values = np.array([[1.5, -2.0], [np.inf, 3e38]]).astype(ml_dtypes.bfloat16)
    state = {"w": values, "rest": {"empty": values[:0], "step": 3}}
    found = round_trip(path, state)
    assert path.read_bytes().count(b'"BF16"') == 2
    assert (found["w"].dtype, found["rest"]["step"]) == (np.float32, 3)
    assert found["w"].tolist() == values.astype(np.float32).tolist()
    assert found["rest"]["empty"].shape == (0, 2)
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(io.FileError, match="its CRC32 is"):
        io.load(path)


def test_a_type_that_numpy_lacks_is_refused_by_the_tensors_name(path):
    header = b'{"w":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[0,2]}}'
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * 2)
    with pytest.raises(io.FileError) as caught:
        io.load(path)
    assert f"[load] {path}: tensor 'w' is of type F8_E4M3, expected one of BOOL" in str(
        caught.value
    )
