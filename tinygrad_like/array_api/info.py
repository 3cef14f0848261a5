"""What the namespace can do, as the standard's inspection functions tell it."""

from typing import Any

import numpy as np

from tinygrad_like import backend
from tinygrad_like.array_api import dtypes
from tinygrad_like.array_api.dtypes import DEFAULTS, KINDS, isdtype

OF_THE_STANDARD = ("bool", *(name for name in KINDS["numeric"] if name != "float16"))


class Info:
    """What `__array_namespace_info__()` returns."""

    def capabilities(self) -> dict[str, Any]:
        """Shapes may depend on data (`nonzero`, masks), and arrays have at most 64 axes."""
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}

    def default_device(self) -> str:
        """The device of arrays that are made without one."""
        return backend.get().device

    def devices(self) -> list[str]:
        """The device in use; others may be given by name, as in `zeros(3, device="cuda")`."""
        return list(dict.fromkeys(("cpu", self.default_device())))

    def default_dtypes(self, *, device: Any = None) -> dict[str, np.dtype]:
        """The dtypes of Python's numbers, the same on every device."""
        return {
            "real floating": DEFAULTS["f"],
            "complex floating": DEFAULTS["c"],
            "integral": DEFAULTS["i"],
            "indexing": DEFAULTS["i"],
        }

    def dtypes(self, *, device: Any = None, kind: Any = None) -> dict[str, np.dtype]:
        """The dtypes of the standard by name, all or those of a kind."""
        found = {name: getattr(dtypes, name) for name in OF_THE_STANDARD}
        return {n: d for n, d in found.items() if kind is None or isdtype(d, kind)}
