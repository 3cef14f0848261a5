"""All rows of the op tests, by family. To add one, add a line to a family; see case.py."""

import cases_activation
import cases_arithmetic
import cases_arrange
import cases_attention
import cases_complex
import cases_complex_linalg
import cases_decompositions
import cases_elementwise
import cases_linalg
import cases_neural
import cases_order
import cases_quantiles
import cases_recurrent
import cases_reduce
import cases_sampling
import cases_scan
import cases_scipy
import cases_sequences
import cases_shape
import cases_special
import cases_windows

FAMILIES = (
    cases_elementwise,
    cases_shape,
    cases_reduce,
    cases_linalg,
    cases_decompositions,
    cases_neural,
    cases_recurrent,
    cases_attention,
    cases_special,
    cases_arithmetic,
    cases_sequences,
    cases_quantiles,
    cases_activation,
    cases_scipy,
    cases_complex,
    cases_complex_linalg,
    cases_scan,
    cases_order,
    cases_arrange,
    cases_windows,
    cases_sampling,
)
CASES = [case for family in FAMILIES for case in family.CASES]


def _number_repeats():
    """Names are the tests' ids: a name that occurs again gets a number."""
    seen = {}
    for case in CASES:
        seen[case.name] = seen.get(case.name, 0) + 1
        if seen[case.name] > 1:
            case.name += f"-{seen[case.name]}"


_number_repeats()


def op_of(case, *_):
    """The op of a row, by which tests of all rows are grouped."""
    return case.label
