"""The table of tiles by shape: what reads it, and the benchmark that writes it."""

import sys
from functools import partial

import ml_dtypes
import numpy as np
import pytest
from emulated_card import EmulatedCard
from tinygrad_like.kernels import cuda
from tinygrad_like.kernels.cuda import emulator, linalg
from tinygrad_like.kernels.cuda.machine import tiles
from tinygrad_like.kernels.cuda.machine.tiles import Choice, Shape

from bench import cuda_kernels, workloads
from bench import tiles as bench_tiles
from bench.opponents import ours
from tinygrad_like import backend

xp = emulator.xp
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
# Large enough for warpgroups; the vocabulary is odd, as that of GPT-2.
SIZES = workloads.GPTSizes(1, 128, 2, 72, 2, vocabulary=131, bfloat16=True)


@pytest.fixture(autouse=True)
def _choices_anew():
    linalg.choose.cache_clear()
    yield
    linalg.choose.cache_clear()


@pytest.fixture
def chosen(monkeypatch):
    """The Shapes that were asked for, and on what capability, as a list that fills."""
    asked, choose = [], linalg.choose

    def noted(source, *rest):
        asked.append((Shape(source.path.stem, *rest[:-1]), rest[-1]))
        return choose(source, *rest)

    monkeypatch.setattr(linalg, "choose", noted)
    return asked


def integers(*shape, dtype=np.float32):
    """Small ones, whose products are exact."""
    return np.random.default_rng(0).integers(-2, 3, shape).astype(dtype)


# The table


def test_the_committed_table_has_the_shapes_of_the_benchmark_and_tiles_that_exist():
    timed_on, found = tiles.read()
    with emulator.run(capability=timed_on["capability"] if timed_on else 90):
        wanted = bench_tiles.shapes(xp, BFLOAT16, workloads.GPTS["gpt2"])
    if timed_on is None:
        assert list(found.items()) == [(shape, linalg.by_rule(shape)) for shape in wanted]
    assert {shape.layout for shape in wanted} == {"nn", "nt", "tn"}
    assert {shape.source for shape in wanted} == set(linalg.CORES)
    assert found
    assert found.keys() <= set(wanted)
    for shape, (tile, parts) in found.items():
        assert tile in linalg.CORES[shape.source].tiles
        assert parts >= 1


def test_a_product_takes_what_the_table_says(monkeypatch):
    a = integers(70, 128)
    shape = Shape("linalg", "float32", "nn", 70, 70, 128)
    assert linalg.by_rule(shape) == (linalg.MIDDLE, 1)
    monkeypatch.setattr(linalg, "choices", {90: {shape: Choice(linalg.SMALL, 2)}, 80: {}}.get)
    launched = []
    kernel = linalg.SOURCE.kernel
    monkeypatch.setattr(
        linalg.SOURCE,
        "kernel",
        lambda name, *a, **k: launched.append((name, k)) or kernel(name, *a, **k),
    )
    x, across = xp.asarray(a), xp.asarray(a.T.copy())
    taken = [("gemm", linalg.SMALL), ("combine", linalg.SMALL)]
    for capability, b, expected in (
        (90, across, taken),
        (80, across, [("gemm", linalg.MIDDLE)]),  # the table of another GPU
        (90, x.T, [("gemm", linalg.MIDDLE)]),  # another layout
        (90, across, taken),
    ):
        launched.clear()
        with emulator.run(capability=capability):
            y = cuda.matmul(x, b)
        np.testing.assert_array_equal(xp.asnumpy(y), a @ a.T)
        assert launched == expected


@pytest.mark.parametrize(
    ("timed_on", "capability", "asked"),
    [
        (None, 90, False),
        ({"device": "a card", "capability": 90}, 90, True),
        ({"device": "a card", "capability": 90}, 80, False),
    ],
)
def test_a_table_is_written_and_read_where_it_was_timed(
    timed_on, capability, asked, tmp_path, monkeypatch
):
    path = tmp_path / "tiles.json"
    table = {Shape("linalg", "float32", "nt", 3, 4, 5): Choice(linalg.SMALL, 1)}
    tiles.write(timed_on, table, path)
    assert tiles.read(path) == (timed_on, table)
    monkeypatch.setattr(tiles, "read", partial(tiles.read, path))
    tiles.choices.cache_clear()
    try:
        assert tiles.choices(capability) == (table if asked else {})
    finally:
        tiles.choices.cache_clear()


def test_a_choice_is_made_once(monkeypatch):
    made, by_rule = [], linalg.by_rule
    monkeypatch.setattr(linalg, "by_rule", lambda shape: made.append(shape) or by_rule(shape))
    x = xp.asarray(integers(9, 5))
    for _ in range(2):
        cuda.matmul(x, x.T)
        cuda.matmul(x.T, x)
    assert [shape[2:] for shape in made] == [("nt", 9, 9, 5, 1), ("tn", 5, 5, 9, 1)]


# What is multiplied


def test_matrices_that_share_a_factor_are_one_product_of_all_their_rows(chosen):
    a, b, residual = integers(2, 3, 5, 6), integers(6, 4), integers(2, 3, 5, 4)
    moved = xp.asarray(a.transpose(0, 2, 1, 3).copy()).swapaxes(1, 2)  # lies in no order
    across = xp.asarray(a.swapaxes(-1, -2).copy()).swapaxes(-1, -2)  # would have to be copied
    columns = xp.asarray(a.reshape(30, 6).T.copy()).T.reshape(2, 3, 5, 6)  # all rows, transposed
    for left, right, expected in (
        (xp.asarray(a), b, ("nn", 30, 4, 6, 1)),
        (xp.asarray(a), b[None, None], ("nn", 30, 4, 6, 1)),
        (xp.asarray(a[:1, :1]), b[None, None], ("nn", 5, 4, 6, 1)),
        (xp.asarray(a), np.stack([[b] * 3] * 2), ("nn", 5, 4, 6, 6)),
        (moved, b, ("nn", 30, 4, 6, 1)),
        (across, b, ("tn", 5, 4, 6, 6)),
        (columns, b, ("tn", 30, 4, 6, 1)),
    ):
        chosen.clear()
        leading = left.shape[:2]
        given = xp.asarray(residual[: leading[0], : leading[1]].copy())
        y = linalg.gemm(left, xp.asarray(right), residual=given)
        wanted = xp.asnumpy(left) @ right + xp.asnumpy(given)
        np.testing.assert_array_equal(xp.asnumpy(y), wanted)
        assert y.shape == wanted.shape
        ((shape, _),) = chosen
        assert shape[2:] == expected


def test_the_shapes_of_the_table_are_those_of_a_step(chosen, monkeypatch):
    monkeypatch.setitem(workloads.GPTS, "gpt2-tiny", SIZES)
    monkeypatch.setattr(bench_tiles, "SQUARES", ())
    ours.build("ours", "gpt2-tiny", None, "cuda-emulator")()
    listed = [s for s in bench_tiles.shapes(xp, BFLOAT16, SIZES) if s.dtype == "bfloat16"]
    assert len(listed) == 12
    assert {shape for shape, _ in chosen} == set(listed)
    assert {capability for _, capability in chosen} == {90}
    # Three for each of query, key, value, out, up, down and the logits
    assert len(chosen) == 3 * 7


def test_a_shape_is_listed_for_the_kernel_that_takes_its_operands():
    """Rows of an odd number of half types are not for tensor copies, wherever they are the rows."""
    listed = bench_tiles.shapes(xp, BFLOAT16, SIZES)
    logits = {
        (s.dtype, s.source, s.layout) for s in listed if 131 in s[3:6] and s.dtype != "float32"
    }
    assert logits == {
        (dtype, source, layout)
        for dtype in ("float16", "bfloat16")
        for source, layout in (
            ("linalg_wgmma", "nt"),
            ("linalg_tensor", "nn"),
            ("linalg_tensor", "tn"),
        )
    }
    small = [s for s in listed if max(s[3:6]) < 1024]
    assert {s.source for s in small} == set(linalg.CORES)
    for shape in small:
        ((a, b), *_) = bench_tiles.operands(EmulatedCard(), shape)
        assert (a.shape, b.shape) == ((shape.m, shape.k), (shape.k, shape.n))
        assert (a.dtype.name, b.dtype.name) == (shape.dtype, shape.dtype)
        left, right = linalg._operand(a, ()), linalg._operand(b.swapaxes(-1, -2), ())
        assert "".join("nt"[t] for t in (left.across, not right.across)) == shape.layout
        if shape.source == "linalg_wgmma":
            assert left.view().problem() is None
            assert right.view().problem() is None
    with emulator.run(capability=80):
        older = bench_tiles.shapes(xp, BFLOAT16, SIZES)
    assert {s.source for s in older} == {"linalg", "linalg_tensor"}
    assert {s.dtype for s in bench_tiles.shapes(xp, None, SIZES)} == {"float32", "float16"}


# The benchmark


def timed(shapes, monkeypatch, times=None):
    """(what is found, who is refused, the steps that were timed) on a card with such a clock."""
    timings, steps, refused = iter(times or []), [], []

    def time_of(card, turns, bouts):
        steps.append(turns)
        return [next(timings, 50.0)] * bouts

    monkeypatch.setattr(bench_tiles, "time_of", time_of)
    found = bench_tiles.timed(EmulatedCard(), shapes, 3, refused)
    return found, refused, steps


@pytest.mark.parametrize("source", linalg.CORES)
def test_the_fastest_tile_is_found(source, capsys, monkeypatch):
    shape = Shape(source, "float32" if source == "linalg" else "float16", "nt", 136, 72, 512)
    tried = bench_tiles.candidates(shape)
    assert tried[0] == linalg.by_rule(shape)
    tiles_and_parts = [(tile, n) for tile in linalg.CORES[source].tiles for n in (1, 2)]
    assert sorted(map(repr, map(tuple, tried))) == sorted(map(repr, tiles_and_parts))
    found, refused, steps = timed([shape], monkeypatch, [30.0, 20.0, 10.0])
    assert (found, refused, len(steps)) == ({shape: tried[2]}, [], len(tried))
    assert capsys.readouterr().out.splitlines()[-1].split()[-2:] == ["10.000", "30.000"]


def test_a_short_k_is_not_cut_and_the_rule_is_tried_first():
    shape = Shape("linalg", "float32", "nn", 64, 64, 100)
    tried = bench_tiles.candidates(shape)
    assert tried[0] == (linalg.MIDDLE, 1)
    assert [parts for _, parts in tried] == [1, 1, 1]


def test_inputs_are_more_than_the_cache_holds(monkeypatch):
    shape = Shape("linalg", "float32", "tn", 24, 28, 20)
    _, _, steps = timed([shape], monkeypatch)
    held = 4 * (24 * 20 + 20 * 28 + 24 * 28)
    for turns in steps:
        assert len(turns) == -(-2 * EmulatedCard.cache_bytes // held) > 1
        inputs = [tuple(xp.asnumpy(x).tobytes() for x in step.args) for step in turns]
        assert len(set(inputs)) == len(turns)


def test_products_that_are_wrong_or_fail_are_refused_and_the_others_timed(monkeypatch, capsys):
    odd = Shape("linalg_wgmma", "float16", "nn", 128, 131, 128)
    exact = Shape("linalg", "float32", "nn", 24, 28, 20)
    rounded = Shape("linalg_tensor", "float32", "nn", 24, 28, 20)
    large = Shape("linalg", "float32", "nn", 25, 28, 20)
    right, off = linalg.gemm, np.float32(1.0005)

    def wrong(a, b, **how):
        if a.shape[0] == 25:
            raise MemoryError("no room")
        return right(a, b, **how) * off

    monkeypatch.setattr(linalg, "gemm", wrong)
    found, refused, _ = timed([odd, exact, large, rounded], monkeypatch)
    assert list(found) == [rounded]  # within what tf32 may be off, and float32 may not
    assert refused == [bench_tiles.text_of(shape) for shape in (odd, exact, large)]
    lines = [line for line in capsys.readouterr().out.splitlines() if "REFUSED" in line]
    assert [line.partition(": ")[0] for line in lines] == [f"REFUSED {name}" for name in refused]
    assert "multiples of 16 bytes" in lines[0]
    assert "the vendor computes" in lines[1]
    assert "no room" in lines[2]


def test_every_shape_of_a_table_has_a_tolerance():
    listed = bench_tiles.shapes(xp, BFLOAT16, SIZES)
    assert {(s.source, s.dtype) for s in listed} == set(bench_tiles.TOLERANCES)


def test_the_whole_benchmark_times_and_writes(monkeypatch, tmp_path, capsys):
    sizes = workloads.GPTSizes(1, 16, 2, 9, 2, vocabulary=35, bfloat16=True)
    path = tmp_path / "tiles.json"
    emulated = backend.get("cuda-emulator")
    monkeypatch.setitem(backend.BY_DEVICE, "cuda", emulated)
    monkeypatch.setattr(backend, "cuda_problem", lambda: None)
    monkeypatch.setitem(workloads.GPTS, "gpt2", sizes)
    monkeypatch.setattr(cuda_kernels, "BATCH_MS", 0.1)
    monkeypatch.setattr(bench_tiles, "SQUARES", (24,))
    monkeypatch.setattr(bench_tiles, "Card", EmulatedCard)
    monkeypatch.setattr(tiles, "write", partial(tiles.write, path=path))
    monkeypatch.setattr(sys, "argv", ["tiles", "--device", "cuda", "--write", "--bouts", "1"])
    bench_tiles.main()
    timed_on, found = tiles.read(path)
    assert timed_on == {"device": "the emulator", "capability": 90}
    assert list(found) == bench_tiles.shapes(xp, BFLOAT16, sizes)
    assert len(found) == 4 * (1 + 12)
    right = linalg.gemm
    monkeypatch.setattr(
        linalg, "gemm", lambda a, b, **how: right(a, b, **how) * (1 if a.shape[0] == 24 else 2)
    )
    with pytest.raises(SystemExit, match="48 products refused: linalg float32 nn 18 16 16 1, "):
        bench_tiles.main()
    assert [shape[3:] for shape in tiles.read(path)[1]] == [(24, 24, 24, 1)] * 4
