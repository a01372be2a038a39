"""How long fits of one Gemstones task take (6,930 rows, k = 1 to 256): `make bench`.

The additive law is fitted side by side by variable projection, by the paper's recipe (L-BFGS-B
from 500 random starts, analytic gradients) and against one evaluation of the design matrix. Aims
on 2 cores: projection 1,000 times faster than the recipe at an objective no higher; the
Beta-consistent law under 0.5 s.
"""

import time
from collections.abc import Callable

import numpy as np
import pytest

import t2lib as t2

pytestmark = pytest.mark.bench
TASK = "hellaswag_zeroshot"
RESTARTS = 500


@pytest.fixture(scope="module")
def rows() -> dict[str, np.ndarray]:
    """Columns of one task's curves."""
    table = t2.load_curves("gemstones").query("task == @TASK and k <= 256")
    assert len(table) == 6930
    names = ["n_params", "n_tokens", "k", "neg_log_pass", "pass_at_k", "mean_nll"]
    return {name: table[name].to_numpy(dtype=float) for name in names}


def seconds(function: Callable[[], object], repeats: int) -> float:
    """Processor time of one call, the median of several: other programs do not count."""
    function()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return float(np.median(times))


@pytest.mark.parametrize("restarts", [RESTARTS])
def test_additive_against_the_papers_recipe(rows: dict[str, np.ndarray], restarts: int) -> None:
    """The same rows, in one run; the ratio and the shares that arrive are printed."""
    columns = [rows[name] for name in ("n_params", "n_tokens", "k", "neg_log_pass")]
    projected = t2.fit_additive(*columns)
    fast = seconds(lambda: t2.fit_additive(*columns), repeats=9)
    start = time.process_time()
    paper = t2.fit_additive(*columns, method="paper", restarts=restarts)
    slow = time.process_time() - start
    exponents = [projected.params[name] for name in ("alpha", "beta", "gamma")]

    def design_matrix() -> np.ndarray:
        powers = [x**-e for x, e in zip(columns, exponents, strict=False)]
        return np.stack([np.ones(len(columns[3])), *powers], axis=1)

    once = seconds(design_matrix, repeats=99)
    arrived = np.mean(paper.restarts <= projected.objective * (1 + 1e-6))
    print(
        f"\nadditive law, {TASK}, {len(columns[0])} rows, processor time:\n"
        f"  variable projection       {fast:9.4f} s   objective {projected.objective:.10g}\n"
        f"  {restarts} restarts of L-BFGS-B  {slow:9.3f} s   objective {paper.objective:.10g}"
        f" ({arrived:.1%} within 1e-6 of the optimum, {paper.evaluations / restarts:.0f}"
        f" evaluations each)\n"
        f"  ratio                     {slow / fast:9.0f}\n"
        f"  design matrix once        {once:9.5f} s   a fit costs {fast / once:.0f} of them"
        f" ({projected.evaluations} evaluations with derivatives)"
    )
    assert projected.objective <= paper.objective * (1 + 1e-9)
    assert slow / fast > 100


def test_beta_laws(rows: dict[str, np.ndarray]) -> None:
    """Both Beta laws, from pass@k and mean losses."""
    columns = [rows[name] for name in ("n_params", "n_tokens", "k", "pass_at_k")]
    loss = rows["mean_nll"]
    calls = {
        "Beta-consistent, two stages": lambda: t2.fit_beta_consistent(*columns, loss=loss),
        "Beta-consistent, joint": lambda: t2.fit_beta_consistent(
            *columns, loss=loss, method="joint"
        ),
        "Beta regression": lambda: t2.fit_beta_regression(*columns, loss=loss),
    }
    taken = {name: seconds(call, repeats=5) for name, call in calls.items()}
    print(f"\n{TASK}, {len(loss)} rows, processor time:")
    for name, value in taken.items():
        print(f"  {name:28} {value:.3f} s")
    assert taken["Beta-consistent, two stages"] < 0.5
