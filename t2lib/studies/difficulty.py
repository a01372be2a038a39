"""How difficulty spreads over a task's questions, and how well a Beta describes it (chapter 03)."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from t2lib._checks import FloatArray
from t2lib.data.curves import common_questions
from t2lib.data.registry import Recorded, recorded
from t2lib.data.suites import load_questions
from t2lib.fitting.beta import fit_beta
from t2lib.passk import beta_pass_at_k, pass_at_k
from t2lib.studies.repeated_sampling import last_checkpoints

# Fewer questions answered than this cannot tell a and b apart.
ENOUGH_ANSWERED = 20
_CHECKPOINT = ["model", "task", "n_params", "n_tokens"]


def binned_nll(histogram: pd.DataFrame) -> FloatArray:
    """NLL of each question of a histogram, at the middle of its bin of log p.

    Parameters
    ----------
    histogram : DataFrame
        Rows of :func:`t2lib.load_histograms`: ``log_p_low``, ``log_p_high``, ``n_questions``.

    Returns
    -------
    ndarray, shape (questions,)
        In nats, within half a bin (0.0625) of the question's own.
    """
    middle = -(histogram["log_p_low"] + histogram["log_p_high"]) / 2
    return np.repeat(middle.to_numpy(), histogram["n_questions"])


def fit_shapes(histograms: pd.DataFrame) -> pd.DataFrame:
    """Fit a Beta to the questions of each model and task, and say how far off it is.

    Parameters
    ----------
    histograms : DataFrame
        Rows of :func:`t2lib.load_histograms`, one checkpoint for each model.

    Returns
    -------
    DataFrame, indexed by task and model
        ``a``, ``b``; ``distance``, the largest difference of the two distribution functions at
        the edges of bins; ``hardest_p``, the middle of the lowest bin.
    """
    groups = histograms.sort_values("log_p_low").groupby(["task", "model"], observed=True)
    return pd.DataFrame({key: _fit_shape(group) for key, group in groups}).T.rename_axis(
        ["task", "model"]
    )


def _fit_shape(histogram: pd.DataFrame) -> pd.Series:
    a, b = fit_beta(nll=binned_nll(histogram))
    seen = histogram["n_questions"].cumsum() / histogram["n_questions"].sum()
    said = special.betainc(a, b, np.exp(histogram["log_p_high"]))
    middle = (histogram["log_p_low"] + histogram["log_p_high"]) / 2
    hardest = np.exp(middle.iloc[0])
    distance = np.abs(seen - said).max()
    return pd.Series({"a": a, "b": b, "distance": distance, "hardest_p": hardest})


def density_of_log_p(a: float, b: float, log_p: FloatArray) -> FloatArray:
    """Density of log p for p ~ Beta(a, b), per nat."""
    p = np.asarray(log_p, dtype=float)
    return np.exp(a * p + (b - 1) * np.log1p(-np.exp(p)) - special.betaln(a, b))


def simulated_distances(
    a: float, b: float, questions: int, *, n: int, rng: np.random.Generator
) -> FloatArray:
    """Distances between a Beta fitted to simulated questions and those questions themselves.

    What :func:`fit_shapes` calls ``distance`` where the Beta is true.

    Parameters
    ----------
    a, b : float
        The true shape.
    questions, n : int
        Questions of a task, and how many tasks to simulate.
    rng : numpy Generator

    Returns
    -------
    ndarray, shape (n,)
    """
    p = np.sort(rng.beta(a, b, size=(n, questions)))
    fitted = most_likely(np.log(p).mean(axis=1), np.log1p(-p).mean(axis=1), a, b)
    said = special.betainc(*fitted[:, :, None], p)
    rank = np.arange(questions + 1) / questions
    return np.maximum(np.abs(rank[1:] - said), np.abs(rank[:-1] - said)).max(axis=1)


def most_likely(log_p: FloatArray, log_q: FloatArray, a: float, b: float) -> FloatArray:
    """Fit many Betas from their mean log p and log(1 - p), by Newton's steps from one shape."""
    shape = np.stack([np.full_like(log_p, a), np.full_like(log_p, b)])
    for _ in range(100):
        total = shape.sum(axis=0)
        error = special.digamma(shape) - special.digamma(total) - np.stack([log_p, log_q])
        own, both = special.polygamma(1, shape), special.polygamma(1, total)
        determinant = own[0] * own[1] - own.sum(axis=0) * both
        step = (error * (own[::-1] - both) + error[::-1] * both) / determinant
        before, shape = shape, np.maximum(shape - step, shape / 2)
        if np.all(np.abs(shape - before) < 1e-9 * before):
            break
    return shape


def goodness(
    shapes: pd.DataFrame, curves: pd.DataFrame, model: str, *, n: int, seed: int
) -> pd.DataFrame:
    """Test one model's Beta on every task, against tasks that come from that Beta.

    Parameters
    ----------
    shapes : DataFrame
        From :func:`fit_shapes`.
    curves : DataFrame
        Curves of the same checkpoints, for the numbers of questions.
    model : str
        Which model.
    n, seed : int
        Simulated tasks, and the seed.

    Returns
    -------
    DataFrame, indexed by task
        ``a``, ``b``, ``distance`` and ``by_chance``, the distance that 95 % of tasks stay below
        where the Beta is true.
    """
    rng = np.random.default_rng(seed)
    questions = curves.groupby("task")["n_questions"].max()
    of_model = shapes.xs(model, level="model")
    table = pd.DataFrame(of_model)[["a", "b", "distance"]].copy()
    table["by_chance"] = [
        np.quantile(simulated_distances(a, b, questions[task], n=n, rng=rng), 0.95)
        for task, a, b in zip(table.index, table["a"], table["b"], strict=True)
    ]
    return table


def pass_errors(curves: pd.DataFrame, shapes: pd.DataFrame) -> pd.DataFrame:
    """Compare pass@k by each model's fitted Beta with the curve.

    Parameters
    ----------
    curves : DataFrame
        Curves of the checkpoints that were fitted.
    shapes : DataFrame
        From :func:`fit_shapes`.

    Returns
    -------
    DataFrame
        ``suite``, ``model``, ``task``, ``k`` and ``error``, the relative error in per cent.
    """
    table = curves.join(shapes, on=["task", "model"])
    said = beta_pass_at_k(table["a"], table["b"], table["k"])
    table["error"] = 100 * np.abs(said / table["pass_at_k"] - 1)
    return table[["suite", "model", "task", "k", "error"]]


def winogrande_shapes() -> Recorded:
    """Beta shapes of WinoGrande's last checkpoints from the questions themselves, no bins.

    Returns
    -------
    Recorded
        ``a`` and ``b``, each model to number.
    """

    def compute() -> dict[str, Any]:
        questions = last_checkpoints(load_questions("gemstones", "winogrande"))
        groups = questions.groupby("model", observed=True)["nll"]
        fits = {model: fit_beta(nll=nll) for model, nll in groups}
        return {
            name: {model: shape[i] for model, shape in fits.items()} for i, name in enumerate("ab")
        }

    inputs = ["gemstones_nll_winogrande", "gemstones_loss_edu"]
    return recorded("winogrande_beta_shapes", compute, inputs=inputs)


def pythia_shapes() -> pd.DataFrame:
    """Beta-binomial fits of Pythia's checkpoints with any right answer, recorded or recomputed.

    Returns
    -------
    DataFrame
        A row for each checkpoint and task: ``a``, ``b``; ``answered`` of ``n_questions``;
        ``never_answered_fit`` and ``never_answered_sd``, how many questions the fit expects without
        a right sample; ``plug_in_over_unbiased`` at ``largest_k``; ``fewest_samples`` and
        ``most_samples``. With fewer than :data:`ENOUGH_ANSWERED` questions answered, ``a`` and
        ``b`` are not determined.
    """
    inputs = ["pythia_gsm8k", "pythia_math"]
    found = recorded("pythia_beta_shapes", _fit_pythia, inputs=inputs)
    return pd.DataFrame(found.values["checkpoints"])


def _fit_pythia() -> dict[str, Any]:
    rows = []
    for task in ("gsm8k", "math"):
        questions = common_questions(load_questions("pythia", task))
        for key, group in questions.groupby(_CHECKPOINT):
            n, c = group["n_samples"].to_numpy(), group["n_correct"].to_numpy()
            if c.any():
                rows.append(dict(zip(_CHECKPOINT, key, strict=True)) | describe_counts(n, c))
    return {"checkpoints": rows}


def describe_counts(n: FloatArray, c: FloatArray) -> dict[str, Any]:
    """Fit one checkpoint's Beta-binomial; see :func:`pythia_shapes`.

    Parameters
    ----------
    n, c : array_like, shape (questions,)
        Samples, and how many of them were right.
    """
    with warnings.catch_warnings():
        # Too few hits cannot tell a and b apart; callers leave such checkpoints out.
        warnings.filterwarnings("ignore", message="the counts scatter no more")
        a, b = fit_beta(n=n, c=c)
    k = 2 ** int(np.log2(n.min()))
    never = 1 - beta_pass_at_k(a, b, n)
    plug_in = 1 - (1 - c / n) ** k
    return {
        "a": a,
        "b": b,
        "fewest_samples": int(n.min()),
        "most_samples": int(n.max()),
        "n_questions": len(n),
        "answered": int((c > 0).sum()),
        "never_answered_fit": float(never.sum()),
        "never_answered_sd": float(np.sqrt((never * (1 - never)).sum())),
        "plug_in_over_unbiased": float(plug_in.sum() / pass_at_k(n, c, k).sum()),
        "largest_k": k,
    }


def usable_shapes(shapes: pd.DataFrame) -> pd.DataFrame:
    """Keep checkpoints with enough questions answered, and test the fit on the others.

    Parameters
    ----------
    shapes : DataFrame
        From :func:`pythia_shapes`.

    Returns
    -------
    DataFrame
        The rows with ``z``: questions never answered, in standard deviations from the fit's.
    """
    kept = shapes[shapes["answered"] >= ENOUGH_ANSWERED]
    surprise = kept["n_questions"] - kept["answered"] - kept["never_answered_fit"]
    return kept.assign(z=surprise / kept["never_answered_sd"])


def sampled_pass_errors(curves: pd.DataFrame, usable: pd.DataFrame) -> pd.Series:
    """Relative error (per cent) of pass@k by the fits of Pythia's checkpoints, along their curves.

    Parameters
    ----------
    curves : DataFrame
        Pythia's curves.
    usable : DataFrame
        From :func:`usable_shapes`.
    """
    shapes = usable[[*_CHECKPOINT, "a", "b"]]
    table = curves[curves["pass_at_k"] > 0].merge(shapes, on=_CHECKPOINT)
    said = beta_pass_at_k(table["a"], table["b"], table["k"])
    return 100 * np.expm1(np.abs(np.log(said / table["pass_at_k"])))


def change_in_training(usable: pd.DataFrame, task: str = "gsm8k") -> pd.Series:
    """Factors by which a and b change from 2 billion tokens to the last usable checkpoint.

    Parameters
    ----------
    usable : DataFrame
        From :func:`usable_shapes`.
    task : str
        Which task.

    Returns
    -------
    Series
        ``a`` and ``b``: medians over models of the factor, up or down, at least 1.
    """
    rows = usable[usable["task"] == task].sort_values("n_tokens")
    early = rows[rows["n_tokens"].between(2e9, 3e9)].set_index("model")
    late = rows[rows["n_tokens"] > 5e10].groupby("model")[["a", "b"]].last()
    change = late / early.loc[late.index, ["a", "b"]]
    return change.where(change > 1, 1 / change).median()
