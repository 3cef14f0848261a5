"""Every CUDA kernel compiles for each architecture, spills nothing, takes no more than noted."""

import pytest
from tinygrad_like.kernels import cuda  # noqa: F401  which makes all sources known
from tinygrad_like.kernels.cuda.machine import resources
from tinygrad_like.kernels.cuda.machine.launcher import SOURCES, Source, builds

pytestmark = [
    pytest.mark.skipif(resources.problem() is not None, reason=str(resources.problem())),
    pytest.mark.long,
]


@pytest.mark.parametrize("name", SOURCES)
def test_kernels_spill_nothing_and_stay_within_the_committed_table(name):
    compiler, committed = resources.table()
    same_compiler = compiler == resources.compiler()
    for label, archs in resources.measure_all([SOURCES[name]]).items():
        for arch, kernels in archs.items():
            for kernel, found in kernels.items():
                allowed = committed[label][arch][kernel]
                what = f"{kernel} of {label}, {arch}: {found}, allowed {allowed}"
                assert found.spilled == 0, what
                assert found.shared <= allowed.shared, what
                assert found.registers <= allowed.registers or not same_compiler, what


def instructions(source, arch, **defines):
    halves = [b for b in builds(SOURCES[source]) if b.scalar == "float16"]
    (build,) = (b for b in halves if dict(b.defines) == defines)
    return resources.instructions(build, arch)


@pytest.mark.parametrize("arch", resources.ARCHITECTURES)
def test_products_on_tensor_cores_are_instructions_of_these(arch):
    tile = {"ROWS": 2, "COLUMNS": 4, "WARPS_M": 2, "WARPS_N": 2}
    found = instructions("linalg_tensor.cu", arch, **tile)
    assert found["HMMA"] == 4 * 2 * 2 * 4  # layouts of the operands, steps of k, rows, columns
    assert found["LDSM"] == 4 * 2 * (2 + 2)
    assert found["LDGSTS"] > 0
    assert instructions("attention_tensor.cu", arch, HEAD=64)["HMMA"] > 100
    assert instructions("conv.cu", arch, **tile, TENSOR=1)["HMMA"] == 3 * 2 * 2 * 4
    plain = {"ROWS": 2, "COLUMNS": 1, "WARPS_M": 2, "WARPS_N": 2}
    assert not any(instructions("linalg.cu", arch, **plain).values())


def test_products_of_warpgroups_are_instructions_of_these():
    for blocks in (1, 2):
        found = instructions("linalg_wgmma.cu", "sm_90a", BLOCKS=blocks)
        assert found["HGMMA"] == 4 * 4 * blocks  # layouts of the operands, steps of k
        assert found["UTMALDG"] > 0
        assert found["HMMA"] == found["LDSM"] == 0


def test_products_of_a_warpgroup_that_wait_for_each_other_are_refused(tmp_path):
    """ptxas says so where registers of a product in flight are touched."""
    text = SOURCES["linalg_wgmma.cu"].text
    commit = "        wgmma_commit();\n"
    assert text.count(commit) == 1
    path = tmp_path / "slow.cu"
    path.write_text(text.replace(commit, f"        sums[0][0] += 1;\n{commit}"))
    kernel = Source(path, ("float16",)).kernel("wgmma_gemm", "float16")
    with pytest.raises(resources.CompileError, match="warns of a loss"):
        resources.measure(kernel.build, "sm_90a")


def test_the_table_names_what_there_is():
    known = {build.label for source in SOURCES.values() for build in builds(source)}
    assert resources.table()[1].keys() == known
