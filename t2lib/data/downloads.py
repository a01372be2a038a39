"""One released file from an address: bounded in time and size, verified, whole or not there.

A file is given up after :func:`seconds_allowed`, whatever the other side does: 60 seconds for all
tries together and one more for every 20 kB. Nobody waits longer than 20 seconds for a word from a
server, and nothing is read beyond the size that the registry gives.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import cache
from pathlib import Path
from typing import Any

RETRIES = 2
SILENCE = 20.0  # seconds that a server may say nothing
PATIENCE = 60.0  # seconds for a file, all tries together,
SLOWEST = 20_000  # and its bytes divided by these
_BLOCK = 2**16
REMEDY = "set T2LIB_MIRROR to a folder or address that has it"


class FetchError(OSError):
    """A released file that cannot be had or is damaged; the message is one line."""


class NotThereError(FetchError):
    """The mirror or host answered, and does not have the file."""


def seconds_allowed(size: int) -> float:
    """Return after how many seconds a file of so many bytes is given up."""
    return PATIENCE + size / SLOWEST


def verify(path: Path, size: int, sha256: str) -> None:
    """Raise FetchError unless the file has this size and sha256."""
    found = path.stat()
    if found.st_size != size:
        raise FetchError(f"{path}: damaged: expected {size} bytes, found {found.st_size}")
    # The time of the last change of any kind cannot be set back, unlike that of the content's.
    digest = _sha256(path, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    if digest != sha256:
        raise FetchError(f"{path}: damaged: expected sha256 {sha256}, found {digest}")


@cache
def _sha256(path: Path, *_version: int) -> str:
    """Hash a file, each version of it once."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def pooch() -> Any:
    """Import pooch at its first use, without the advice its progress bar gives in a notebook."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="IProgress not found")
        import pooch
    pooch.get_logger().setLevel(logging.WARNING)
    return pooch


def download(name: str, url: str, target: Path, size: int, sha256: str, store: Path) -> Path:
    """Download a file into a store and return its path.

    Parameters
    ----------
    name : str
        What to call it in an error.
    url : str
    target : Path
        Its place, inside ``store``.
    size : int
        Bytes.
    sha256 : str
    store : Path
        The folder that holds all downloads.

    Raises
    ------
    FetchError
        Where it cannot be had in time or is not what it must be. Nothing is kept then.
    """
    import requests

    deadline = time.monotonic() + seconds_allowed(size)

    def get(url: str, output: str, _: Any) -> None:
        _within(deadline, lambda: _receive(url, Path(output), size, deadline))
        try:
            verify(Path(output), size, sha256)
        except FetchError as error:  # pooch tries again after a ValueError and removes the file
            raise ValueError(str(error).replace(output, url)) from None

    manager = pooch().create(
        path=target.parent,
        base_url="",
        registry={target.name: f"sha256:{sha256}"},
        urls={target.name: url},
        retry_if_failed=RETRIES,
    )
    tried = f"(tried {RETRIES + 1} times)"
    try:
        with _in_use(store):
            target.parent.mkdir(parents=True, exist_ok=True)
            return Path(manager.fetch(target.name, downloader=get))
    except FetchError as error:
        raise type(error)(f"{name}: {error}") from None
    except TimeoutError:
        waited = f"given up after {seconds_allowed(size):.0f} seconds"
        raise FetchError(f"{name}: {url} is too slow: {waited}; {REMEDY}") from None
    except requests.HTTPError as error:
        raise FetchError(f"{name}: {error} {tried}") from None
    except requests.RequestException as error:
        what = f"cannot reach {url}: {type(error).__name__} {tried}"
        raise FetchError(f"{name}: {what}; {REMEDY}") from None
    except (ValueError, OSError) as error:
        raise FetchError(f"{name}: {error} {tried}") from None


def _within(deadline: float, work: Callable[[], None]) -> None:
    """Do work in a thread of its own; TimeoutError where it takes too long, whatever holds it."""
    done: Future[None] = Future()

    def run() -> None:
        try:
            work()
            done.set_result(None)
        except BaseException as error:  # handed on to who waits
            done.set_exception(error)

    # A server can hold a thread in ways that no time limit of a socket ends, such as one byte of
    # a header a second. Being a daemon, such a thread does not outlive the program.
    threading.Thread(target=run, daemon=True).start()
    done.result(timeout=max(0.0, deadline - time.monotonic()))


def _receive(url: str, output: Path, size: int, deadline: float) -> None:
    """Write what an address answers to a file, never more than ``size`` bytes."""
    import requests
    import urllib3.exceptions

    # Without compression, the length that is announced is that of the file.
    plain = {"Accept-Encoding": "identity"}
    with requests.get(url, stream=True, timeout=SILENCE, headers=plain) as answer:
        if answer.status_code in (404, 410):  # no use in trying again
            raise NotThereError(f"not there: {url} answered {answer.status_code}")
        answer.raise_for_status()
        announced = answer.headers.get("Content-Length", "")
        if announced.isdigit() and int(announced) > size:
            raise FetchError(f"{url}: damaged: expected {size} bytes, {announced} are announced")
        received = 0
        try:
            with output.open("r+b") as file:  # an old try that goes on cannot make it anew
                while block := answer.raw.read1(_BLOCK, decode_content=True):
                    received += len(block)
                    if received > size:
                        raise FetchError(f"{url}: damaged: expected {size} bytes, more came")
                    if time.monotonic() > deadline:  # nobody waits any more
                        return
                    file.write(block)
        except urllib3.exceptions.HTTPError as error:
            raise requests.ConnectionError(error) from None


@contextlib.contextmanager
def _in_use(store: Path) -> Iterator[None]:
    """Tell other processes that a store's unfinished files are in use; first sweep dead ones.

    The lock ends with the process, however it ends.
    """
    store.mkdir(parents=True, exist_ok=True)
    _sweep(store)
    with _locked(store, fcntl.LOCK_SH):
        yield


@cache
def _sweep(store: Path) -> None:
    """Remove what killed downloads left, once a process, unless another one is downloading."""
    with _locked(store, fcntl.LOCK_EX | fcntl.LOCK_NB) as alone:
        if alone:
            for left in store.rglob("tmp" + "?" * 8):  # the names that pooch gives
                left.unlink(missing_ok=True)


@contextlib.contextmanager
def _locked(folder: Path, kind: int) -> Iterator[bool]:
    """Lock a folder, or give False where it is locked or its file system has no locks."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, kind)
        except OSError:
            held = False
        else:
            held = True
        yield held
    finally:
        os.close(descriptor)
