"""The folder of a run: files that are written or reported, and older ones that are set aside."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tinygrad_like.training.progress import say


class Folder:
    """A folder, made if it is not there. `failed` has the files whose newest write failed."""

    def __init__(self, path: Any):
        self.path = Path(path)
        self.path.mkdir(parents=True, exist_ok=True)
        self.failed: set[Path] = set()

    def write(self, path: Any, write: Callable[[Path], Any]) -> bool:
        """Call `write(path)`, which makes a file; False, with a line, if the system refuses.

        A full disk does not end a training. A missing package (of the extra `examples`) is named,
        and is no failure.
        """
        path = self.path / path
        try:
            write(path)
        except ImportError as error:
            say(f"no {path.name}: {error}; pip install 'tinygrad-like[examples]' brings it")
        except OSError as error:
            if path not in self.failed:  # a disk that stays full is named once for each file
                say(f"could not write {path}: {error.strerror or error}", error=True)
            self.failed.add(path)
            return False
        self.failed.discard(path)
        return True

    def set_aside(self, names: tuple[str, ...]) -> None:
        """Give files of an older run names with a number, the same for all, that are free."""
        present = [self.path / name for name in names if (self.path / name).exists()]
        number = 1
        while any(_numbered(path, number).exists() for path in present):
            number += 1
        for path in present:
            path.replace(_numbered(path, number))
        if present:
            moved = ", ".join(_numbered(path, number).name for path in present)
            say(f"{self.path} holds an older run, which is now {moved}")


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.stem}-{number}{path.suffix}")
