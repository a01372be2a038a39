"""How long the build, the embedded curves and the Chinchilla fit take: `make bench`.

Aims on 2 cores: the book from nothing under 4 minutes and unchanged under 15 s; the curves under
60 s and 2 GiB; the fit under 8 ms (squared errors) and 50 ms (Huber); `t2 fit` on a whole suite
under 90 s and 2 GiB, its report included; `t2 plan` under 1 s when everything is imported.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest
from at_hand import ROOT
from at_hand import released as released
from memory import peak_memory
from pytest_benchmark.fixture import BenchmarkFixture

import t2lib as t2
from t2lib.command import plan

pytestmark = pytest.mark.bench


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the repository in which nothing is built yet."""
    left_out = shutil.ignore_patterns(".*", "_build", "__pycache__", "*.egg-info")
    return shutil.copytree(ROOT, tmp_path_factory.mktemp("bench") / "book", ignore=left_out)


def build_book(root: Path) -> None:
    """Build the book as a reader does who has no released file."""
    environment = {k: v for k, v in os.environ.items() if k != "T2LIB_MIRROR"}
    environment |= {"T2LIB_CACHE": str(root / "no-cache"), "PYTHONPATH": str(root)}
    subprocess.run([sys.executable, root / "book/build.py"], env=environment, check=True)


def test_book_from_nothing(benchmark: BenchmarkFixture, copy: Path) -> None:
    """Every chapter runs, the site is rendered."""
    benchmark.pedantic(build_book, [copy], rounds=1)
    assert (copy / "_build/html/index.html").is_file()


def test_book_unchanged(benchmark: BenchmarkFixture, copy: Path) -> None:
    """Nothing is run again."""
    build_book(copy)
    benchmark.pedantic(build_book, [copy], rounds=3)


def test_curves_from_questions(benchmark: BenchmarkFixture, copy: Path, released: Path) -> None:
    """All 8 tasks of Gemstones and both of Pythia, from every question's value."""
    command = [sys.executable, "-m", "t2lib", "data", "build"]
    environment = os.environ | {"PYTHONPATH": str(copy), "T2LIB_MIRROR": str(released)}
    peak = benchmark.pedantic(peak_memory, [command, environment], rounds=1)
    benchmark.extra_info["peak memory, MiB"] = round(peak)
    print(f"\npeak memory: {peak:.0f} MiB")
    assert peak < 2048


def test_fit_command_on_a_suite(
    benchmark: BenchmarkFixture,
    released: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`t2 fit` on 8 tasks and 770 checkpoints of Gemstones, every question's likelihood."""
    monkeypatch.setenv("T2LIB_MIRROR", str(released))
    for task in t2.load_curves("gemstones")["task"].unique():
        t2.load_questions("gemstones", task).to_parquet(tmp_path / f"{task}.parquet")
    code = "from t2lib.command.app import main; main()"
    tables = sorted(str(path) for path in tmp_path.glob("*.parquet"))
    command = [sys.executable, "-c", code, "fit", *tables, "-o", str(tmp_path / "report.html")]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    peak = benchmark.pedantic(peak_memory, [command, environment], rounds=1)
    benchmark.extra_info["peak memory, MiB"] = round(peak)
    print(f"\npeak memory: {peak:.0f} MiB")
    assert (tmp_path / "report.html").is_file() and (tmp_path / "report.json").is_file()
    assert peak < 2048


def test_plan_from_the_embedded_suite(benchmark: BenchmarkFixture) -> None:
    """The answer of `t2 plan`, its law's fit included, imports not."""

    def ask() -> str:
        law = plan.from_suite("gemstones", "arce")
        return plan.answer(law, train_flops=1e22, inference_flops=2e10).text()

    assert "samples per query" in benchmark(ask)


@pytest.mark.parametrize("objective", ["sse", "huber_log"])
def test_fit_chinchilla(
    benchmark: BenchmarkFixture,
    released: Path,
    monkeypatch: pytest.MonkeyPatch,
    objective: Literal["sse", "huber_log"],
) -> None:
    """The 240 points that Besiroglu et al. keep: all but the five largest losses."""
    monkeypatch.setenv("T2LIB_MIRROR", str(released))
    points = t2.load_points("chinchilla").nsmallest(240, "loss")
    N, D, loss = (points[column].to_numpy() for column in ["n_params", "n_tokens", "loss"])
    fit = benchmark(t2.fit_chinchilla, N, D, loss, objective=objective)
    assert 0.3 < fit.params["alpha"] < 0.4
