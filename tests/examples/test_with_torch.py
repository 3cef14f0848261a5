"""The example of both libraries in one program, as a user runs it."""

import re
import subprocess
import sys

import pytest
from needed import imported
from source_tree import ROOT


@pytest.mark.long
def test_both_libraries_in_one_program():
    imported("torch")
    script = ROOT / "examples" / "with_torch.py"
    result = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    assert "read here: Tensor([1., 1., 1.]" in result.stdout
    shares = re.findall(r"([\d.]+)% of the training digits", result.stdout)
    assert len(shares) == 2
    assert min(map(float, shares)) > 95
    assert float(re.search(r"differ by (\S+)", result.stdout)[1]) < 1e-6
