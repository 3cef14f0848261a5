"""The history of a run as a file of lines, each a JSON object: one for each step.

The file is a function of the history: a run that goes on from a checkpoint writes it anew, so no
line stands there twice, and none is lost that the checkpoint has.
"""

import json
import math
from contextlib import suppress
from pathlib import Path
from typing import Any

from tinygrad_like import files


def line(row: dict[str, float]) -> str:
    """A row as a line; what is not finite, which JSON lacks, is null."""
    finite = {name: value if math.isfinite(value) else None for name, value in row.items()}
    return json.dumps(finite) + "\n"


class JsonLines:
    """The file while a run writes it; every line is handed to the system at once."""

    def __init__(self, path: Path):
        self.path = path
        self._file: Any = None

    @property
    def is_open(self) -> bool:
        return self._file is not None

    def open(self, rows: list[dict[str, float]]) -> None:
        """Replace the file by these rows, and go on after them. Raises OSError."""
        self.close()
        files.write(self.path, "".join(map(line, rows)).encode())
        self._file = open(self.path, "a", encoding="utf-8")  # noqa: SIM115

    def append(self, row: dict[str, float]) -> None:
        """Add a line. Raises OSError, and is then closed until it is opened again."""
        try:
            self._file.write(line(row))
            self._file.flush()
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):  # what could not be written was reported when it was tried
                file.close()
