"""`python -m tinygrad_like.sklearn`: how many of scikit-learn's checks of estimators pass.

Each check that does not is listed with its reason. With SCIPY_ARRAY_API=1 in the environment, the
check of arrays other than NumPy's runs, too.
"""

import sys
import warnings
from typing import Any

from sklearn.exceptions import SkipTestWarning
from sklearn.utils.estimator_checks import check_estimator

from tinygrad_like.sklearn import Classifier, Regressor


def main() -> int:
    """Print the counts; returns 0 if no check failed, else 1."""
    failed = 0
    for estimator in (Classifier(), Regressor()):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SkipTestWarning)  # printed below
            checks: Any = check_estimator(estimator, on_fail=None)
        passed = [check for check in checks if check["status"] == "passed"]
        print(f"{estimator}: {len(passed)} of {len(checks)} checks passed")
        for check in checks:
            if check["status"] != "passed":
                print(f"  {check['check_name']} {check['status']}: {check['exception']}")
        failed += sum(check["status"] == "failed" for check in checks)
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
