"""Every row of the op tests, exported and run by ONNX Runtime on other inputs, or refused.

`pytest -n0 -m long -rP tests/onnx/test_export_rows.py` prints how many of each, and the reasons.
"""

import collections

import numpy as np
import pytest
from cases import CASES
from onnx_runs import check_row, newest

import tinygrad_like as tg
from tinygrad_like.onnx.export.known import REFUSED

# Rows that are exported at least, by opset; and why others may be refused, but for an op's name.
EXPORTED = {17: 1051, 20: 1069, "newest": 1069}
REASONS = (
    "complex",
    "draws random numbers",
    "values shuffled",  # a single label, of one class
    "attention drops weights in training",
    "getitem by booleans",
    "the shape of what getitem returns",
    "reads values",
    "max_pool2d of int64",
    "needs opset 18",
    "need opset 18",
)


@pytest.mark.long
@pytest.mark.parametrize("version", EXPORTED)
def test_rows_are_exported_or_refused_for_a_reason(tmp_path, version):
    opset = newest() if version == "newest" else version
    refused, wrong = collections.Counter(), {}
    for case in CASES:
        reason = refusal(case, tmp_path / "row.onnx", opset, wrong)
        if reason is not None:
            refused[reason] += 1
            if not known(reason):
                wrong[case.name] = reason
    same = len(CASES) - sum(refused.values()) - len(wrong.keys())
    print(f"opset {opset}: {same} rows give the same, {sum(refused.values())} are refused:")
    for reason, count in refused.most_common():
        print(f"{count:5} {reason}")
    assert not wrong, "\n".join(f"{name}: {what}" for name, what in wrong.items())
    assert same >= EXPORTED[version]


def refusal(case, path, opset, wrong):
    """Why a row is refused, or None; any other error is noted in `wrong`."""
    try:
        with np.errstate(all="ignore"):
            check_row(case, path, opset)
    except tg.onnx.ExportError as error:
        return str(error).removeprefix("[onnx.export] ")
    except Exception as error:
        wrong[case.name] = f"{type(error).__name__}: {error}"
    return None


def known(reason):
    """Whether a refusal names an op of the table, or one of the reasons above."""
    name = reason.partition(" cannot be exported")[0]
    return name in REFUSED or any(words in reason for words in REASONS)
