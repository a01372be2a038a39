"""Per-token against whole answers: what the book's statements about k become with answer length T.

Gemstones' losses are means per token. If an answer has T tokens of that mean loss, its negative
log-likelihood is T times as large. No released file tells the lengths, so every question gets the
same T: a question of "what if", not a measurement.

The rules, set down before these computations. A first look at T = 4, 8 and 16 came before them:

* *Laws.* Chapter 6's comparison of forecasts for models left out, unchanged. A task is won or lost
  where the 95 % interval over models leaves 0 out. "Better than Approach 1" is kept at T where more
  than half of the tasks are won and none is lost.
* *Claim 6.* A curve passes for a power law where its local exponent at k = 64 to 128 is within 10 %
  of that at 1 to 2. A task passes where at least 90 % of its curves do. The same is asked of the
  logarithm that begins as the curve does, ``y(1) - s log k``, which is no power law. Where more
  than half of a task's logarithms pass too, the test has no power and decides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from t2lib.data.curves import likelihood_columns
from t2lib.data.layouts import Likelihoods
from t2lib.data.registry import data_folder, read_json
from t2lib.studies import one_law
from t2lib.studies.power_law_in_k import local_exponent

LENGTHS = (1, 2, 4, 8, 16, 24)
K = (1, 2, 4, 16, 64, 128, 256)
_FITTED_K = (1, 4, 16, 64, 256)
_NEAR = 0.10
_MOST = 1e12  # an error that is infinite counts as a million nats: a loss of the law that makes it
RIVALS = {
    "-log pass@k, against Approach 1": ("AdditiveLaw", "nats"),
    "pass@k, against Approach 2": ("BetaRegressionLaw", "relative"),
    "-log pass@k, against Approach 2": ("BetaRegressionLaw", "nats"),
}
LAWS = (one_law.OURS, "BetaRegressionLaw", "AdditiveLaw")


def thinned(task: Likelihoods, every: int = 5) -> Likelihoods:
    """Every fifth checkpoint of each model: those that chapter 6 judges."""
    turn = task.checkpoints.groupby("model")["n_tokens"].rank(method="dense").astype(int)
    kept = (turn % every == 0).to_numpy()
    return Likelihoods(task.checkpoints[kept].reset_index(drop=True), task.nll[kept])


def curves_at(task: Likelihoods, length: float, k: Sequence[int] = K) -> pd.DataFrame:
    """Curve table as if every answer had so many tokens: each question's NLL times ``length``.

    Parameters
    ----------
    task : Likelihoods
        Checkpoints of one task and their questions' losses.
    length : float
        Tokens T of an answer.
    k : sequence of int

    Returns
    -------
    DataFrame
        As ``t2.load_curves`` gives it.
    """
    ks = np.asarray(k)
    table = task.checkpoints.loc[task.checkpoints.index.repeat(len(ks))].reset_index(drop=True)
    return table.assign(**likelihood_columns(task.nll * np.float64(length), ks))


def laws_against(curves: pd.DataFrame, *, n: int, seed: int) -> pd.DataFrame:
    """Chapter 6's comparison for models left out, of curves that are thinned already.

    Returns
    -------
    DataFrame
        As :func:`~t2lib.studies.one_law.compare`, with ``ours`` and ``theirs``, the two errors.
    """
    sums, _ = one_law.models_left_out(curves, LAWS, {}, every=1, k=_FITTED_K)
    sums = sums.clip(upper=_MOST)
    errors = one_law.mean_errors(sums)
    found = one_law.compare(sums, RIVALS, n=n, seed=seed)
    pairs = [(row.task, *RIVALS[str(row.comparison)]) for row in found.itertuples()]
    return found.assign(
        ours=[errors[one_law.OURS, score][task] for task, _, score in pairs],
        theirs=[errors[law, score][task] for task, law, score in pairs],
    )


def power_law_test(curves: pd.DataFrame) -> pd.DataFrame:
    """The criterion of claim 6 for each checkpoint, and for the logarithm that begins alike.

    Parameters
    ----------
    curves : DataFrame
        With k = 1, 2, 64 and 128.

    Returns
    -------
    DataFrame
        A row a checkpoint and task: ``bend``, the later local exponent over the first; ``passes``;
        ``log_passes``, whether the logarithm would; ``left``, -log pass@128 over -log pass@1.
    """
    wide = curves.pivot(index=["task", "model", "n_tokens"], columns="k", values="neg_log_pass")
    y = wide[[1, 2, 64, 128]].to_numpy()
    bend = _bend(y)
    slope = (y[:, 0] - y[:, 1]) / np.log(2)
    logs = y[:, [0]] - slope[:, None] * np.log([1, 2, 64, 128])
    # A logarithm that has come down to 0 is no curve of -log pass@k any more.
    ends = logs[:, -1] > 0
    log_bend = np.where(ends, _bend(np.where(ends[:, None], logs, 1.0)), np.inf)
    found = {
        "bend": bend,
        "passes": np.abs(bend - 1) <= _NEAR,
        "log_passes": np.abs(log_bend - 1) <= _NEAR,
        "left": y[:, 3] / y[:, 0],
    }
    return pd.DataFrame(found, index=wide.index).reset_index()


def _bend(y: Any) -> Any:
    first = local_exponent(y[:, :2], [1, 2])[:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        return local_exponent(y[:, 2:], [64, 128])[:, 0] / first


def at_length(task: Likelihoods, length: float, *, n: int, seed: int) -> dict[str, Any]:
    """Both questions for one task at one length, as rows that JSON can hold.

    Parameters
    ----------
    task : Likelihoods
        Thinned.
    length : float
    n, seed : int
        Resamples of models.

    Returns
    -------
    dict
        ``laws``, rows of :func:`laws_against`, and ``power``, one row: medians and shares over
        checkpoints of :func:`power_law_test`.
    """
    curves = curves_at(task, length)
    tested = power_law_test(curves)
    power = {
        "task": str(curves["task"].iloc[0]),
        "length": length,
        "bend": float(tested["bend"].median()),
        "left": float(tested["left"].median()),
        "passes": float(tested["passes"].mean()),
        "log_passes": float(tested["log_passes"].mean()),
    }
    laws = laws_against(curves, n=n, seed=seed).assign(length=length)
    return {"laws": laws.to_dict("records"), "power": [power]}


def recorded() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both tables as ``benchmarks/claims.py`` recorded them from the released question losses.

    Returns
    -------
    laws, power : DataFrame
        A row a task, length and comparison; and a row a task and length.
    """
    values = read_json(data_folder() / "recorded/answer_length.json")["values"]
    return pd.DataFrame(values["laws"]), pd.DataFrame(values["power"])


def duels_by_length(column: str = "wins") -> pd.DataFrame:
    """Share of chapter 7's duels that the smaller checkpoint wins at 2e10 FLOPs per token.

    As ``benchmarks/claims.py`` recorded it from all question losses.

    Parameters
    ----------
    column : {"wins", "low", "high"}
        The share, or an end of its 95 % interval over models.

    Returns
    -------
    DataFrame
        Lengths T by tasks.
    """
    values = read_json(data_folder() / "recorded/duel_lengths.json")["values"]
    return pd.DataFrame(values["rows"]).pivot(index="length", columns="task", values=column)


def kept(laws: pd.DataFrame) -> pd.DataFrame:
    """Count verdicts by comparison and length: ``wins, ties, loses``, and whether it is ``kept``.

    "Kept": more than half of the tasks are won and none is lost.
    """
    counts = laws.groupby(["comparison", "length"])["verdict"].value_counts().unstack(fill_value=0)
    counts = counts.reindex(columns=["wins", "ties", "loses"], fill_value=0)
    good = (2 * counts["wins"] > counts.sum(axis=1)) & (counts["loses"] == 0)
    return counts.assign(kept=good)


def power_verdicts(power: pd.DataFrame) -> pd.DataFrame:
    """Claim 6 by length: how many tasks pass, fail, or cannot be tested.

    Returns
    -------
    DataFrame
        A row a length: ``passes``, ``fails`` and ``no power`` (the logarithm passes as well).
    """
    blind = power["log_passes"] > 0.5
    words = np.where(blind, "no power", np.where(power["passes"] >= 0.9, "passes", "fails"))
    counts = pd.Series(words, index=power["length"]).groupby(level=0).value_counts().unstack()
    return counts.reindex(columns=["passes", "fails", "no power"]).fillna(0).astype(int)
