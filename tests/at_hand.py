"""What may or may not be at hand where tests and benchmarks run."""

import os
import resource
import signal
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROXIES = ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"]


def as_a_reader() -> dict[str, str]:
    """Variables of who has no released file and no network."""
    cache = ROOT / "_build/no-released-files"
    cache.mkdir(parents=True, exist_ok=True)
    nobody = dict.fromkeys(PROXIES, "http://127.0.0.1:9")  # nobody answers there
    return {"T2LIB_MIRROR": "", "T2LIB_CACHE": str(cache), **nobody}


def heed_interrupts() -> None:
    """For a new process: a shell starts what runs in its background deaf to Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def no_room(largest: int) -> dict[str, Any]:
    """Options for a new process that may write no file of more bytes.

    Nor may it leave half of a compiled module behind, which Python then takes for a whole one.
    """
    return {
        "preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest)),
        "env": os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
    }


@pytest.fixture(scope="session")
def released() -> Path:
    """Return the folder of released files that lies beside the repository, or skip."""
    for folder in [os.environ.get("T2LIB_MIRROR", ""), ROOT.parent / "shared/released"]:
        if folder and Path(folder).is_dir():
            return Path(folder).resolve()
    # Users need not have them: 430 MB, and a test must not download. Where they are, none skips.
    pytest.skip("no released files: name their folder in T2LIB_MIRROR")
