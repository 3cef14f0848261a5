"""The table of tiles by shape: what reads it, and the benchmark that writes it."""

import numpy as np
import pytest
from test_bench_cuda import EmulatedCard
from tinygrad_like.kernels import cuda
from tinygrad_like.kernels.cuda import linalg, tiles
from tinygrad_like.kernels.cuda.tiles import Choice, Shape

from bench import tiles as bench_tiles

xp = cuda.emulator.xp


def test_the_committed_table_has_the_shapes_of_the_benchmark_and_tiles_that_exist():
    timed_on, found = tiles.read()
    assert list(found) == bench_tiles.shapes()
    for shape, (tile, parts) in found.items():
        core = linalg.CORES[shape.source]
        assert tile in core.tiles
        assert parts >= 1
        if timed_on is None:
            assert (tile, parts) == linalg.by_rule(core, *shape[1:])


def test_a_product_takes_what_the_table_says(monkeypatch):
    a = np.random.default_rng(0).integers(-2, 3, (70, 128)).astype(np.float32)
    shape = Shape("matmul", "float32", 70, 70, 128)
    assert linalg.choose(linalg.SIMT, *shape[1:]).tile == linalg.MIDDLE
    monkeypatch.setattr(linalg, "choices", lambda: {shape: Choice(linalg.SMALL, 2)})
    launched = []
    kernel = linalg.SOURCE.kernel
    monkeypatch.setattr(
        linalg.SOURCE,
        "kernel",
        lambda name, *a, **k: launched.append((name, k)) or kernel(name, *a, **k),
    )
    y = cuda.matmul(xp.asarray(a), xp.asarray(a.T.copy()))
    np.testing.assert_array_equal(xp.asnumpy(y), a @ a.T)
    assert launched == [("gemm", linalg.SMALL), ("combine", linalg.SMALL)]


@pytest.mark.parametrize("source", linalg.CORES)
def test_the_fastest_tile_is_found(source, capsys):
    dtype = "float32" if source == "matmul" else "float16"
    shape = Shape(source, dtype, 136, 72, 512)
    tried = bench_tiles.candidates(shape)
    assert tried[0] == linalg.by_rule(linalg.CORES[source], *shape[1:])
    assert len(tried) > len(linalg.CORES[source].tiles)

    class Clock(EmulatedCard):
        """By which the third that is timed is the fastest."""

        calls = 0

        def milliseconds(self, step, repeats):
            step()
            Clock.calls += 1
            return 1.0 if (Clock.calls - 1) // 2 == 2 else 30.0

    found = bench_tiles.timed(Clock(), [shape], bouts=1)
    assert found == {shape: tried[2]}
    assert "rule's ms" in capsys.readouterr().out


def test_a_table_is_written_and_read_again(tmp_path):
    path = tmp_path / "tiles.json"
    table = {Shape("matmul", "float32", 3, 4, 5): Choice(linalg.SMALL, 1)}
    tiles.write("a card", table, path)
    assert tiles.read(path) == ("a card", table)
