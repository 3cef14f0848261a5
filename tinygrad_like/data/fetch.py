"""Files of known contents: found on this machine or downloaded, and checked either way."""

import gzip
import hashlib
import os
import sys
import tempfile
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tinygrad_like.engine import check_flag, errors

TIMEOUT_SECONDS = 10


class DataError(ValueError):
    """A data file that is truncated, altered or of another format."""


class DataUnavailable(DataError):
    """Data that is not on this machine and cannot be downloaded."""


@dataclass(frozen=True)
class File:
    """A file that can be had: what it is called, what is in it, and where on the web it is."""

    dataset: str  # the function that reads it, for messages
    folder: str  # where it is looked for, and kept in the cache
    name: str  # its name on the web; a `.gz` also lies on disk unpacked
    algorithm: str  # of hashlib
    digest: str  # of the unpacked contents
    mirrors: tuple[str, ...]  # folders on the web
    advice: str  # what to do where it cannot be had


def find(file, root, progress):
    """The unpacked bytes of a File, from the first place that has it.

    The places are `root`, `$TINYGRAD_LIKE_DATA` (each time the file's folder there, then the place
    itself), the user's cache folder, and the mirrors; a download is kept in the cache.

    Raises DataError for a damaged file of the user's, which is left unchanged (one in the cache is
    downloaded again, with a warning); DataUnavailable if there is none and no mirror serves it.
    """
    progress = check_flag(file.dataset, "progress", progress)
    places = [
        Path(place).expanduser() for place in (root, os.environ.get("TINYGRAD_LIKE_DATA")) if place
    ]
    folders = [folder for place in places for folder in (place / file.folder, place)]
    names = dict.fromkeys((file.name, file.name.removesuffix(".gz")))
    for path in (folder / name for folder in folders for name in names):
        if path.is_file():
            try:
                return _checked(path.read_bytes(), file, path)
            except DataError as error:
                raise DataError(f"{error}; delete this file or download it again") from error

    cached = _cache_folder() / file.folder / file.name
    if cached.is_file():
        try:
            return _checked(cached.read_bytes(), file, cached)
        except (DataError, OSError) as error:
            errors.warn(f"{error}; downloading it again")
    return _download(file, cached, [*folders, cached.parent], progress)


def _cache_folder():
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "tinygrad_like"


def _checked(content, file, source):
    """The bytes of a File whose gzip (or plain) `content` was read from `source`."""
    packed = str(source).endswith(".gz")
    if packed:
        try:
            content = gzip.decompress(content)
        except (EOFError, OSError, zlib.error) as error:
            raise DataError(
                f"[{file.dataset}] {source} is not a whole gzip file: {error}"
            ) from error
    digest = hashlib.new(file.algorithm, content, usedforsecurity=False).hexdigest()
    if digest != file.digest:
        raise DataError(
            f"[{file.dataset}] {source} is truncated or altered: its {len(content):,} bytes "
            f"{'unpacked ' if packed else ''}have {file.algorithm} {digest}, expected {file.digest}"
        )
    return content


def _download(file, cached, folders, progress):
    """Download a File from the first mirror that serves it intact, and keep it in the cache."""
    from http.client import HTTPException

    failures = []
    for mirror in file.mirrors:
        url = f"{mirror}{file.name}"
        try:
            served = _get(url, progress)
            content = _checked(served, file, url)
        except DataError as error:
            failures.append(str(error).removeprefix(f"[{file.dataset}] "))
            continue
        except (HTTPException, OSError) as error:
            failures.append(f"{url}: {error}")
            continue
        try:
            _keep(served, cached)
        except OSError as error:
            errors.warn(f"[{file.dataset}] could not keep {cached} for the next time: {error}")
        return content
    raise DataUnavailable(
        f"[{file.dataset}] {file.name} is not on this machine and could not be downloaded\n"
        f"  looked in: {', '.join(map(str, folders))}\n"
        f"  tried: {'; '.join(failures)}\n"
        f"{file.advice}"
    )


def _get(url, progress):
    """The bytes at a URL, with a progress bar."""
    from tqdm import tqdm

    with _open(url) as response:
        total = response.length
        content = bytearray()
        label = url.rpartition("/")[2]
        with tqdm(total=total, desc=label, unit="B", unit_scale=True, disable=not progress) as bar:
            while chunk := response.read(1 << 16):
                content += chunk
                bar.update(len(chunk))
    if total is not None and len(content) < total:
        raise OSError(f"the connection ended after {len(content):,} of {total:,} bytes")
    return bytes(content)


def _open(url):
    """The response of a URL's server, or an OSError after ten seconds at most.

    urllib's own timeout holds for each of a server's addresses in turn, and not for looking up its
    name, so a machine behind a silent firewall would wait for minutes. The thread limits the total.
    """
    import queue
    import threading
    from urllib.error import HTTPError
    from urllib.request import urlopen

    answers: queue.SimpleQueue = queue.SimpleQueue()

    def ask():
        try:
            answers.put(urlopen(url, timeout=TIMEOUT_SECONDS))
        except Exception as error:
            answers.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=TIMEOUT_SECONDS)
    except queue.Empty:
        raise TimeoutError(f"no answer within {TIMEOUT_SECONDS} seconds") from None
    if isinstance(answer, HTTPError):
        answer.close()
    if isinstance(answer, Exception):
        raise answer
    return answer


def _keep(content, path):
    """Put a file in place in one step: a run that is killed midway never leaves half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
