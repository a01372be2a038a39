"""Style and types of every file, as `make test` asks for them."""

import subprocess
import sys

import pytest
from at_hand import ROOT

CHECKS = ["ruff check .", "ruff format --check .", "mypy"]


@pytest.mark.parametrize("check", CHECKS)
def test_nothing_is_found_by(check: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *check.split()], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
