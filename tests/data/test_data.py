"""The data: what is found, checked, downloaded and refused."""

import gzip
import hashlib
import http.server
import os
import socket
import struct
import threading

import numpy as np
import pytest
from needed import imported

from tinygrad_like import data
from tinygrad_like.data import DataError, DataUnavailable, fetch, images

NAMES = list(images.MNIST_MD5)
TRAIN_IMAGES = NAMES[0]


def idx(array):
    """An array as the bytes of an IDX file."""
    code = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}[array.dtype.str[1:]]
    lengths = struct.pack(f">{array.ndim}I", *array.shape)
    return bytes([0, 0, code, array.ndim]) + lengths + array.tobytes()


@pytest.fixture
def files(monkeypatch, tmp_path):
    """A small MNIST of 6 + 4 samples, with its checksums; no other MNIST can be reached."""
    rng = np.random.default_rng(0)
    contents = {}
    for name, n in zip(NAMES, (6, 6, 4, 4), strict=True):
        shape = (n, 28, 28) if "images" in name else (n,)
        contents[name] = idx(rng.integers(0, 256 if "images" in name else 10, shape, np.uint8))
    md5 = {name: hashlib.md5(content).hexdigest() for name, content in contents.items()}
    monkeypatch.setattr(images, "MNIST_MD5", md5)
    monkeypatch.setattr(images, "MNIST_MIRRORS", ())
    monkeypatch.delenv("TINYGRAD_LIKE_DATA", raising=False)
    cache = tmp_path / "cache"
    monkeypatch.setenv("LOCALAPPDATA" if os.name == "nt" else "XDG_CACHE_HOME", str(cache))
    return contents


@pytest.fixture
def cache(files, tmp_path):
    return tmp_path / "cache" / "tinygrad_like" / "mnist"


def put(folder, files, packed=True):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)


@pytest.fixture
def loopback():
    """This machine's own network, which a sandbox may lack."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        try:
            socket.create_connection(server.getsockname(), timeout=5).close()
        except OSError as error:
            pytest.skip(f"this machine lets no program connect to 127.0.0.1: {error}")


@pytest.fixture
def serve(monkeypatch, loopback):
    """Start web servers on this machine; each answers with `answer(name)`: status, length, body."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    servers = []

    def start(answer):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                server.asked.append(self.path)
                status, length, body = answer(self.path.rpartition("/")[2].removesuffix(".gz"))
                self.send_response(status)
                self.send_header("Content-Length", str(length))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.asked = []
        server.url = f"http://127.0.0.1:{server.server_port}/mnist/"
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def good(files):
    def answer(name):
        body = gzip.compress(files[name])
        return 200, len(body), body

    return answer


def truncating(files):
    def answer(name):
        body = gzip.compress(files[name])
        return 200, len(body), body[: len(body) // 2]

    return answer


def assert_is_mnist(datasets, files):
    for dataset, pixels, classes in zip(datasets, NAMES[::2], NAMES[1::2], strict=True):
        x, y = dataset.arrays
        assert (x.dtype, x.shape[1:], y.dtype) == (np.float32, (1, 28, 28), np.int64)
        expected = np.frombuffer(files[pixels][16:], np.uint8).astype(np.float32) / np.float32(255)
        np.testing.assert_array_equal(x.ravel(), expected)
        assert y.tolist() == list(files[classes][8:])


def test_digits_are_the_published_ones():
    train, test = data.digits()
    for dataset, n in ((train, 1437), (test, 360)):
        images, labels = dataset.arrays
        assert (images.shape, images.dtype) == ((n, 1, 8, 8), np.float32)
        assert (labels.shape, labels.dtype) == ((n,), np.int64)
        assert (images.min(), images.max()) == (0, 1)
        assert set(labels.tolist()) == set(range(10))
        assert dataset.classes == tuple("0123456789")
    assert train.arrays[1][:5].tolist() == [0, 1, 2, 3, 4]


def test_digits_are_scikit_learns():
    datasets = imported("sklearn.datasets")
    images, labels = datasets.load_digits(return_X_y=True)
    found = [
        np.concatenate(arrays) for arrays in zip(*(d.arrays for d in data.digits()), strict=True)
    ]
    np.testing.assert_array_equal(found[0].reshape(-1, 64) * 16, images)
    np.testing.assert_array_equal(found[1], labels)


@pytest.mark.skipif(
    not os.environ.get("TINYGRAD_LIKE_DATA"),
    reason="TINYGRAD_LIKE_DATA is not set: set it to a folder with MNIST's four files",
)
def test_the_real_mnist_is_read():
    train, test = data.mnist()
    assert train.arrays[0].shape == (60000, 1, 28, 28)
    assert test.arrays[0].shape == (10000, 1, 28, 28)
    assert train.arrays[1][:8].tolist() == [5, 0, 4, 1, 9, 2, 1, 3]
    assert (train.arrays[0].min(), train.arrays[0].max()) == (0, 1)
    assert abs(train.arrays[0].mean(dtype=np.float64) - 0.1306605) < 1e-6


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("subfolder", ["mnist", "."])
@pytest.mark.parametrize("by", ["root", "environment"])
def test_mnist_is_found_in_the_users_folders(files, tmp_path, monkeypatch, by, subfolder, packed):
    put(tmp_path / "data" / subfolder, files, packed)
    root = str(tmp_path / "data")
    if by == "environment":
        monkeypatch.setenv("TINYGRAD_LIKE_DATA", root)
    assert_is_mnist(data.mnist(root if by == "root" else None), files)


def test_root_goes_before_the_environment(files, tmp_path, monkeypatch):
    put(tmp_path / "root", files)
    put(tmp_path / "other", dict.fromkeys(files, b"bad"))
    monkeypatch.setenv("TINYGRAD_LIKE_DATA", str(tmp_path / "other"))
    assert_is_mnist(data.mnist(tmp_path / "root"), files)


def flipped(content):
    return content[:-1] + bytes([content[-1] ^ 1])


@pytest.mark.parametrize(
    ("file", "damage", "message"),
    [
        (f"{TRAIN_IMAGES}.gz", lambda raw: gzip.compress(raw)[:-20], "file: Compressed file ended"),
        (f"{TRAIN_IMAGES}.gz", lambda raw: b"", "is truncated or altered: its 0 bytes"),
        (
            f"{TRAIN_IMAGES}.gz",
            lambda raw: b"<html>No</html>",
            "gzip file: Not a gzipped file (b'<h')",
        ),
        (
            f"{TRAIN_IMAGES}.gz",
            lambda raw: flipped(gzip.compress(raw)),
            "is not a whole gzip file: ",
        ),
        (f"{TRAIN_IMAGES}.gz", lambda raw: gzip.compress(flipped(raw)), "is truncated or altered"),
        (TRAIN_IMAGES, lambda raw: raw[:100], "its 100 bytes have md5"),
    ],
)
def test_a_damaged_file_of_the_users_is_named_and_left_alone(
    files, tmp_path, monkeypatch, file, damage, message
):
    bad = tmp_path / file
    bad.write_bytes(damage(files[TRAIN_IMAGES]))
    before = bad.read_bytes()
    monkeypatch.setenv("TINYGRAD_LIKE_DATA", str(tmp_path))
    with pytest.raises(DataError) as caught:
        data.mnist()
    assert str(caught.value).startswith(f"[mnist] {bad} is ")
    assert message in str(caught.value)
    assert str(caught.value).endswith("; delete this file or download it again")
    assert bad.read_bytes() == before


def test_an_altered_file_is_named_with_both_checksums(files, tmp_path):
    (tmp_path / TRAIN_IMAGES).write_bytes(b"bad")
    with pytest.raises(DataError) as caught:
        data.mnist(tmp_path)
    md5 = hashlib.md5(b"bad").hexdigest()
    assert f"3 bytes have md5 {md5}, expected {images.MNIST_MD5[TRAIN_IMAGES]}" in str(caught.value)


def test_a_download_is_kept_and_not_repeated(files, cache, serve, monkeypatch, capsys):
    server = serve(good(files))
    monkeypatch.setattr(images, "MNIST_MIRRORS", (server.url,))
    for _ in range(2):
        assert_is_mnist(data.mnist(progress=False), files)
    assert server.asked == [f"/mnist/{name}.gz" for name in NAMES]
    assert sorted(os.listdir(cache)) == sorted(f"{name}.gz" for name in NAMES)
    assert capsys.readouterr().err == ""


def test_a_download_shows_its_progress(files, serve, monkeypatch, capsys):
    monkeypatch.setattr(images, "MNIST_MIRRORS", (serve(good(files)).url,))
    data.mnist()
    assert f"{TRAIN_IMAGES}.gz: 100%" in capsys.readouterr().err


def test_bad_mirrors_are_passed_over(files, cache, serve, monkeypatch):
    altered = gzip.compress(b"other data")
    servers = [
        serve(lambda name: (200, 7, b"garbage")),
        serve(truncating(files)),
        serve(lambda name: (200, len(altered), altered)),
        serve(lambda name: (404, 0, b"")),
        serve(good(files)),
    ]
    monkeypatch.setattr(images, "MNIST_MIRRORS", [server.url for server in servers])
    assert_is_mnist(data.mnist(progress=False), files)
    assert all(len(server.asked) == 4 for server in servers)
    assert len(os.listdir(cache)) == 4


def test_no_good_mirror_says_what_failed_and_keeps_nothing(
    files, cache, serve, tmp_path, monkeypatch
):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{probe.getsockname()[1]}/"
    garbage, truncated = serve(lambda name: (200, 7, b"garbage")), serve(truncating(files))
    missing = serve(lambda name: (404, 0, b""))
    mirrors = [closed, garbage.url, truncated.url, missing.url]
    monkeypatch.setattr(images, "MNIST_MIRRORS", mirrors)
    with pytest.raises(DataUnavailable) as caught:
        data.mnist(tmp_path / "empty", progress=False)
    message = str(caught.value)
    for part in (
        f"[mnist] {TRAIN_IMAGES}.gz is not on this machine and could not be downloaded",
        f"looked in: {tmp_path / 'empty' / 'mnist'}, {tmp_path / 'empty'}, {cache}",
        f"{closed}{TRAIN_IMAGES}.gz: <urlopen error",
        f"; {garbage.url}{TRAIN_IMAGES}.gz is not a whole gzip file: Not a gzipped file (b'ga')",
        f"{truncated.url}{TRAIN_IMAGES}.gz: the connection ended after ",
        f"{missing.url}{TRAIN_IMAGES}.gz: HTTP Error 404",
        "Set TINYGRAD_LIKE_DATA to a folder with MNIST's four files, or use digits()",
    ):
        assert part in message
    assert not cache.exists()


def test_a_silent_mirror_is_given_up_soon(files, loopback, monkeypatch):
    monkeypatch.setattr(fetch, "TIMEOUT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        monkeypatch.setattr(images, "MNIST_MIRRORS", (url,))
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        with pytest.raises(DataUnavailable, match=r"no answer within|timed out"):
            data.mnist(progress=False)


def test_a_damaged_cache_is_replaced_by_a_good_download(files, cache, serve, monkeypatch):
    put(cache, files)
    bad = cache / f"{TRAIN_IMAGES}.gz"
    bad.write_bytes(b"bad")
    server = serve(good(files))
    monkeypatch.setattr(images, "MNIST_MIRRORS", (server.url,))
    with pytest.warns(
        UserWarning, match="is not a whole gzip file.*; downloading it again"
    ) as warned:
        assert_is_mnist(data.mnist(progress=False), files)
    assert warned[0].filename == __file__
    assert server.asked == [f"/mnist/{TRAIN_IMAGES}.gz"]
    assert gzip.decompress(bad.read_bytes()) == files[TRAIN_IMAGES]


def test_a_damaged_cache_stays_while_there_is_no_good_download(files, cache, serve, monkeypatch):
    put(cache, files)
    bad = cache / f"{TRAIN_IMAGES}.gz"
    bad.write_bytes(b"bad")
    monkeypatch.setattr(images, "MNIST_MIRRORS", (serve(lambda name: (200, 3, b"bad")).url,))
    with pytest.warns(UserWarning, match="downloading it again"), pytest.raises(DataUnavailable):
        data.mnist(progress=False)
    assert bad.read_bytes() == b"bad"


def test_a_cache_that_cannot_be_written_is_said_and_done_without(files, cache, serve, monkeypatch):
    monkeypatch.setattr(images, "MNIST_MIRRORS", (serve(good(files)).url,))

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.warns(UserWarning, match="could not keep .*No space left") as warned:
        assert_is_mnist(data.mnist(progress=False), files)
    assert warned[0].filename == __file__
    assert os.listdir(cache) == []


@pytest.mark.parametrize("dtype", ["u1", "i1", ">i2", ">i4", ">f4", ">f8"])
@pytest.mark.parametrize("shape", [(3,), (2, 3, 4), (0, 5)])
def test_idx_files_of_every_type_are_read(dtype, shape):
    array = np.arange(np.prod(shape)).astype(dtype).reshape(shape)
    found = images._parse_idx(idx(array), "file")
    assert found.dtype == array.dtype.newbyteorder("=")
    np.testing.assert_array_equal(found, array)


HEADER = "file is not an IDX file: it starts with"
GOOD_IDX = idx(np.zeros((2, 3), np.uint8))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", f"{HEADER} b''"),
        (b"\0\0", HEADER),
        (b"\0\0\x08", HEADER),
        (b"\1" + GOOD_IDX[1:], f"{HEADER} b'\\x01\\x00\\x08\\x02', expected two zero bytes"),
        (b"\0\0\x0a" + GOOD_IDX[3:], HEADER),
        (GOOD_IDX[:11], HEADER),
        (GOOD_IDX[:-1], "file holds 5 bytes of values, expected 6 for the shape (2, 3)"),
        (GOOD_IDX + b"\0", "file holds 7 bytes of values, expected 6 for the shape (2, 3)"),
    ],
)
def test_what_is_not_idx_is_refused(content, message):
    with pytest.raises(DataError) as caught:
        images._parse_idx(content, "file")
    assert f"[mnist] {message}" in str(caught.value)
