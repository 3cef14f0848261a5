"""Every CUDA kernel compiles for each architecture, spills nothing, takes no more than noted."""

import pytest
from tinygrad_like.kernels import cuda  # noqa: F401  which makes all sources known
from tinygrad_like.kernels.cuda import resources
from tinygrad_like.kernels.cuda.launcher import SOURCES, Source, builds

pytestmark = pytest.mark.skipif(resources.problem() is not None, reason=str(resources.problem()))


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


def test_products_of_a_warpgroup_that_wait_for_each_other_are_refused(tmp_path):
    """ptxas says so where registers of a product in flight are touched."""
    text = SOURCES["wgmma_matmul.cu"].text
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
