"""Every CUDA kernel compiles for each architecture, spills nothing, takes no more than noted."""

import pytest
from tinygrad_like.kernels import cuda  # noqa: F401  which makes all sources known
from tinygrad_like.kernels.cuda import resources
from tinygrad_like.kernels.cuda.launcher import SOURCES, builds

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


def test_the_table_names_what_there_is():
    known = {build.label for source in SOURCES.values() for build in builds(source)}
    assert resources.table()[1].keys() == known
