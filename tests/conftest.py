"""What several test files share: the built site, the released files, a browser, the command."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from at_hand import ROOT, as_a_reader
from at_hand import released as released
from hypothesis import settings

from t2lib.command.app import main
from t2lib.testbed.grid import configure_jax

sys.path.insert(0, str(ROOT / "book"))
import keyed
from pages import address as address
from pages import browser as browser

os.environ.setdefault("MPLBACKEND", "Agg")
configure_jax()  # as the testbed trains; before any test starts JAX
# What one process of this run of the tests has compiled, all others take; gone when the run ends.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    COMPILED = tempfile.TemporaryDirectory(prefix="t2-compiled-")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = COMPILED.name
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
# A machine that also builds the book is now and then slow; that is no failure.
settings.register_profile("shared", deadline=None)
settings.load_profile("shared")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let one process build the book at once, and what waits for it come last."""
    ready: list[pytest.Item] = []
    waiting: list[pytest.Item] = []
    for item in items:
        (waiting if "site" in getattr(item, "fixturenames", ()) else ready).append(item)
    items[:] = waiting[:1] + ready + waiting[1:]


@pytest.fixture(scope="session")
def site() -> Path:
    """Return the folder of the site, built once for all test processes.

    As `make book` builds it on a fresh machine, which has no released file and asks no network.
    """
    reader = as_a_reader()
    command = [sys.executable, ROOT / "book/build.py"]
    with open(ROOT / "_build/.tests.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        built = subprocess.run(command, capture_output=True, text=True, env=os.environ | reader)
    if built.returncode:
        pytest.fail(f"the book does not build:\n{built.stderr}", pytrace=False)
    assert not any(Path(reader["T2LIB_CACHE"]).rglob("*.*")), "a chapter fetched a released file"
    return ROOT / "_build/html"


@pytest.fixture(scope="session")
def executed(site: Path) -> Path:
    """Return the folder of the executed chapters that the site shows."""
    return site.parent / "executed"


@pytest.fixture(scope="session")
def numbers(executed: Path) -> Callable[[str], dict[str, str]]:
    """Return a function from a chapter's number or name to the numbers in its prose, as text."""

    def read(chapter: str) -> dict[str, str]:
        (path,) = {*executed.glob(f"{chapter}_*.ipynb"), *executed.glob(f"{chapter}.ipynb")}
        return keyed.computed(json.loads(path.read_text()), path.stem)

    return read


@pytest.fixture(scope="session")
def chromium() -> str:
    """Return the path of an installed Chromium; skip without one, or fail where CI=true."""
    for name in ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]:
        if path := shutil.which(name):
            return path
    message = "no Chromium: install it, on Debian or Ubuntu with: apt-get install chromium"
    if os.environ.get("CI") == "true":
        pytest.fail(message, pytrace=False)
    # A reader's machine may have no browser; continuous integration has one, or fails above.
    pytest.skip(message)


@pytest.fixture
def run(capsys):
    """Return a function that runs the command here: exit code, stdout, stderr."""

    def call(*arguments):
        code = main([str(argument) for argument in arguments])
        return (code, *capsys.readouterr())

    return call


@pytest.fixture(scope="session")
def weights():
    """A small model of the testbed with something to tell: width 8, after one chunk."""
    from t2lib.testbed.presets import CHUNK, Run
    from t2lib.testbed.train import State

    state = State(Run(8, 0, CHUNK))
    state.advance()
    return state.tree["average"]
