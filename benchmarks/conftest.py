"""What several benchmarks share."""

import os
from pathlib import Path

import pytest
from memory import ROOT


@pytest.fixture(scope="session")
def released() -> Path:
    """Return the folder of released files, or skip."""
    for folder in [os.environ.get("T2LIB_MIRROR", ""), ROOT.parent / "shared/released"]:
        if folder and Path(folder).is_dir():
            return Path(folder).resolve()
    pytest.skip("no released files: name their folder in T2LIB_MIRROR")
