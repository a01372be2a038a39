"""What may or may not be at hand where tests and benchmarks run."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def released() -> Path:
    """Return the folder of released files that lies beside the repository, or skip."""
    for folder in [os.environ.get("T2LIB_MIRROR", ""), ROOT.parent / "shared/released"]:
        if folder and Path(folder).is_dir():
            return Path(folder).resolve()
    # Users need not have them: 430 MB, and a test must not download. Where they are, none skips.
    pytest.skip("no released files: name their folder in T2LIB_MIRROR")
