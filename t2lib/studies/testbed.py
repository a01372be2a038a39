"""Our own experiment: what its models score at equal training and inference budgets.

A line holds every size at one training budget C = 6 N D; at an inference budget C_inf a size may
be sampled k = C_inf / 2N times. pass@k is that of whole answers, from their likelihoods. Seeds are
the clusters: intervals are over seeds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import numpy.typing as npt
import pandas as pd

from t2lib._checks import DataError, FloatArray
from t2lib.data.layouts import SAMPLED
from t2lib.data.registry import data_folder, read_json
from t2lib.data.suites import load_questions
from t2lib.data.tables import whole_parquet
from t2lib.passk import pass_at_k, pass_at_k_from_nll
from t2lib.testbed.power import parabola_minimum, shift_power
from t2lib.testbed.presets import n_params

FAMILIES = ("recall", "arithmetic", "causal", "spatial")
INFERENCE = (1e6, 1e7, 1e8)  # C_inf, FLOPs a token
_VARIANT = ["variant", "family", "budget", "model", "seed", "n_params", "n_tokens"]
SPAN = 4.0  # a parabola is fitted to the sizes within this factor of the best


def losses() -> pd.DataFrame:
    """Every checkpoint's losses: ``model, n_params, n_tokens, width, seed, budget, unique, rate``.

    Further columns are ``loss`` (nats a symbol of the validation stream) and one a family.
    """
    return whole_parquet(data_folder() / "experiment" / "losses.parquet")


def further() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return what was trained beyond the grid's largest budget: losses, and pass@k by k.

    The columns are those of :func:`losses` and of :func:`variants`.
    """
    folder = data_folder() / "experiment"
    trained = whole_parquet(folder / "further_losses.parquet")
    beyond = trained["budget"] > 1.01 * losses()["budget"].max()
    return trained[beyond], whole_parquet(folder / "further.parquet")


def trained_again() -> pd.DataFrame:
    """Compare runs of the grid that were trained a second time, on another machine.

    Returns
    -------
    DataFrame
        A row a checkpoint that both have: ``model, n_tokens, budget``, ``difference`` of the
        losses (nats) and ``seeds``, the standard deviation over seeds at that size and budget.
    """
    first = losses()
    again = whole_parquet(data_folder() / "experiment" / "chosen_losses.parquet")
    keys = ["n_params", "n_tokens"]
    spread = first.query("unique == 0 and rate == 1").groupby(keys)["loss"].std().rename("seeds")
    both = first.merge(again, on=["model", "n_tokens"], suffixes=("", "_again"))
    both["difference"] = both["loss_again"] - both["loss"]
    columns = ["model", "n_tokens", "budget", "difference", "seeds"]
    return both.join(spread, on=keys)[columns]


def guess_levels() -> dict[str, float]:
    """Return each family's pass@1 of who knows the language's pairs and reads no question."""
    found: dict[str, float] = read_json(data_folder() / "experiment" / "language.json")[
        "guess_levels"
    ]
    return found


def variants() -> pd.DataFrame:
    """Return pass@k after fine-tuning, at other temperatures, and on repeated tokens."""
    return whole_parquet(data_folder() / "experiment" / "variants.parquet")


def variant_lines(table: pd.DataFrame, inference: float) -> pd.DataFrame:
    """Return what variants score with C_inf to sample with.

    Parameters
    ----------
    table : DataFrame
        Rows of :func:`variants`.
    inference : float
        C_inf, FLOPs a token.

    Returns
    -------
    DataFrame
        ``variant, family, budget, model, seed, n_params, n_tokens, inference, k, pass_at_k``;
        between the recorded powers of two pass@k is interpolated in log k.
    """
    rows = []
    for key, curve in table.groupby(_VARIANT):
        k = float(samples(curve["n_params"].iloc[0], inference))
        passed = float(np.interp(np.log(k), np.log(curve["k"]), curve["pass_at_k"]))
        about = dict(zip(_VARIANT, key, strict=True))
        rows.append(about | {"inference": inference, "k": k, "pass_at_k": passed})
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class Answers:
    """A family's checkpoints and the likelihoods, or the samples, of its whole answers.

    Attributes
    ----------
    checkpoints : DataFrame
        ``model, n_params, n_tokens, width, seed, budget, loss``, sorted by budget and size.
    nll : ndarray, shape (checkpoints, questions)
        Nats; or right samples, where ``n_samples`` says of how many.
    n_samples : int
    """

    checkpoints: pd.DataFrame
    nll: FloatArray
    n_samples: int = 0

    def passed(self, k: npt.ArrayLike) -> FloatArray:
        """Return pass@k of every checkpoint at a k of its own, or at one for all.

        From samples, of the whole number of samples below k; NaN where that is more than there are.
        """
        ks = np.broadcast_to(np.asarray(k, dtype=float), len(self.nll))
        if not self.n_samples:
            each = zip(self.nll, ks, strict=True)
            return np.array([pass_at_k_from_nll(row, one) for row, one in each])
        whole = np.minimum(np.floor(ks), self.n_samples)[:, None]
        counted = pass_at_k(self.n_samples, self.nll, whole).mean(axis=1)
        return np.where(ks > self.n_samples, np.nan, counted)

    def line(self, budget: float, inference: float | None) -> pd.DataFrame:
        """Return the checkpoints of a training budget with ``k`` and ``pass_at_k``.

        Those whose k is more than their samples are left out.

        Parameters
        ----------
        budget : float
            FLOPs, one of the grid's.
        inference : float or None
            C_inf, FLOPs a token; None for one sample.

        Raises
        ------
        DataError
            Where no checkpoint has the budget.
        """
        there = np.isclose(self.checkpoints["budget"], budget)
        if not there.any():
            raise DataError(f"testbed: no checkpoints at a budget of {budget:g} FLOPs")
        rows = self.checkpoints[there].reset_index(drop=True)
        k = samples(rows["n_params"], inference)
        passed = replace(self, nll=self.nll[there]).passed(k)
        return rows.assign(k=k, pass_at_k=passed).dropna(subset="pass_at_k", ignore_index=True)


def loss_line(budget: float) -> pd.DataFrame:
    """Return the losses of every size and seed at a training budget, of the grid's or further."""
    table = _usual_losses()
    return table[np.isclose(table["budget"], budget)].reset_index(drop=True)


@cache
def _usual_losses() -> pd.DataFrame:
    table = pd.concat([losses(), further()[0]])
    return table[(table["unique"] == 0) & (table["rate"] == 1)]


def samples(n_params: npt.ArrayLike, inference: float | None) -> FloatArray:
    """Return k = C_inf / 2N, at least one sample; one where there is no inference budget."""
    N = np.asarray(n_params, dtype=float)
    return np.ones_like(N) if inference is None else np.maximum(inference / (2 * N), 1.0)


def answers(family: str, *, sampled: bool = False) -> Answers:
    """Load a family's checkpoints with their answers' likelihoods, or the counts of samples."""
    return _answers(family, sampled)


@cache  # of two plain arguments: a default that is written out would be read a second time
def _answers(family: str, sampled: bool) -> Answers:
    table = load_questions("testbed", family + SAMPLED * sampled)
    n_questions = table["question"].nunique()
    rows = table.iloc[::n_questions][["model", "n_params", "n_tokens"]]
    values = table["n_correct" if sampled else "nll"].to_numpy(float)
    nll = values.reshape(len(rows), n_questions)
    n_samples = int(table["n_samples"].min()) if sampled else 0
    keys = ["model", "n_tokens"]
    rows = rows.merge(losses()[[*keys, "width", "seed", "budget", "loss"]], on=keys, how="left")
    order = np.lexsort((rows["seed"], rows["n_params"], rows["budget"]))
    return Answers(rows.iloc[order].reset_index(drop=True), nll[order], n_samples)


def best_sizes(line: pd.DataFrame, value: str = "pass_at_k", *, span: float = SPAN) -> pd.Series:
    """Estimate each seed's best size on a line.

    A parabola in log N is fitted to -log pass@k (or the loss) of the sizes within a factor
    ``span`` of the one with the best mean; its minimum is kept within these sizes.

    Returns
    -------
    Series
        N by seed. Seeds that lack one of these sizes are left out.
    """
    return minima(*objectives(line, value), span=span)


def minima(seeds: pd.Index, N: FloatArray, y: FloatArray, *, span: float = SPAN) -> pd.Series:
    """Return :func:`best_sizes` of what :func:`objectives` returns."""
    near = near_best(N, y, span)
    whole = np.asarray(np.isfinite(y[:, near]).all(axis=1))
    found = parabola_minimum(np.log(N[near]), y[whole][:, near])
    return pd.Series(np.exp(found), index=seeds[whole])


def by_seed(line: pd.DataFrame, value: str) -> tuple[pd.Index, FloatArray, FloatArray]:
    """Return seeds, sizes and a line's values, shape (seeds, sizes), NaN where a seed lacks one."""
    table = line.pivot(index="seed", columns="n_params", values=value)
    return table.index, table.columns.to_numpy(float), table.to_numpy(float)


def objectives(line: pd.DataFrame, value: str) -> tuple[pd.Index, FloatArray, FloatArray]:
    """Return the same of what is to be least: -log pass@k, or the loss."""
    seeds, N, y = by_seed(line, value)
    return seeds, N, -np.log(np.maximum(y, 1e-12)) if value == "pass_at_k" else y


def near_best(N: FloatArray, y: FloatArray, span: float = SPAN) -> npt.NDArray[np.bool_]:
    """Tell which sizes are within a factor of the one with the least mean."""
    best = N[np.argmin(np.nanmean(y, axis=0))]
    return np.asarray((best * span >= N) & (best / span <= N))


def interval(values: pd.Series) -> tuple[float, float, float]:
    """Return the geometric mean over the seeds at hand and its 95 % interval (Student's t)."""
    from scipy import stats

    log = np.log(values.dropna().to_numpy(float))
    half = stats.t.ppf(0.975, len(log) - 1) * log.std(ddof=1) / len(log) ** 0.5
    low, middle, high = np.exp([log.mean() - half, log.mean(), log.mean() + half])
    return float(middle), float(low), float(high)


def power(
    family: str, budget: float, inference: float, *, seeds: int, known: int = 2
) -> dict[str, float]:
    """Estimate a line's noise from its first seeds, and how often a shift would be told from none.

    Parameters
    ----------
    family : str
    budget, inference : float
        FLOPs of training, FLOPs a token of an answer.
    seeds : int
        Of the design that is judged.
    known : int
        Seeds that the noise is estimated from.

    Returns
    -------
    dict
        ``sizes`` in the parabola; ``noise``, the standard deviation over seeds of log N that one
        size's luck stands for (that of -log pass@k over the parabola's curvature), of pass@1 and
        pass@k in root mean square; ``correlation`` of the two; ``power``, the share of simulated
        designs with so many seeds and one budget that tell a shift of 1.2 from none at 5 %.
    """
    family_answers = answers(family)
    noises, lucks = [], []
    for one in (None, inference):
        line = family_answers.line(budget, one)
        _, N, y = objectives(line[line["seed"] < known], "pass_at_k")
        near = near_best(N, y)
        curvature = 2 * np.polyfit(np.log(N[near]), y[:, near].mean(axis=0), 2)[0]
        luck = y - y.mean(axis=0)
        lucks.append(luck)
        freedom = (len(y) - 1) * near.sum()
        noises.append(float((luck[:, near] ** 2).sum() / freedom) ** 0.5 / curvature)
    correlation = float(np.corrcoef(lucks[0][:, near].ravel(), lucks[1][:, near].ravel())[0, 1])
    if min(noises) <= 0:  # no minimum among the sizes: nothing to tell
        return {"sizes": int(near.sum()), "noise": np.inf, "correlation": correlation, "power": 0.0}
    noise = float(np.mean(np.square(noises)) ** 0.5)
    found = shift_power(N[near], noise, curvature=1.0, seeds=seeds, correlation=correlation)
    return {"sizes": int(near.sum()), "noise": noise, "correlation": correlation, "power": found}


def likelihoods_against_samples() -> pd.DataFrame:
    """Compare counts of right samples with what the likelihoods expect, a row a family.

    Returns
    -------
    DataFrame
        ``questions`` (checkpoints times questions with 0.001 < p < 0.999), ``expected`` and
        ``seen`` shares of right answers, and mean and standard deviation of the z-scores of the
        counts, 0 and 1 where the two agree.
    """
    rows = []
    for family in FAMILIES:
        p, counts = np.exp(-answers(family).nll), answers(family, sampled=True)
        n, c = counts.n_samples, counts.nll
        exact = (-np.expm1(128 * np.log1p(-p.clip(max=1 - 1e-12)))).mean(axis=1)
        off = np.abs(counts.passed(128) / exact - 1)[p.mean(axis=1) >= 1e-3]
        told = (p > 1e-3) & (p < 1 - 1e-3)
        p, c = p[told], c[told]
        z = (c - n * p) / np.sqrt(n * p * (1 - p))
        row = {"family": family, "questions": told.sum()}
        row |= {"expected": p.mean(), "seen": (c / n).mean()}
        row |= {"z mean": z.mean(), "z s.d.": z.std(ddof=1), "off": np.median(off)}
        rows.append(row)
    return pd.DataFrame(rows).set_index("family")


def rate_check() -> pd.DataFrame:
    """Compare learning rates: loss less that of the rule, at the last tokens all factors reached.

    Returns
    -------
    DataFrame
        By ``width`` and ``n_tokens``, a column a factor on the rule, nats; first seed.
    """
    table = losses().query("unique == 0 and seed == 0")
    widths = table.loc[table["rate"] != 1, "width"].unique()
    table = table[table["width"].isin(widths)]
    wide = table.pivot(index=["width", "n_tokens"], columns="rate", values="loss").dropna()
    last = wide.groupby("width").tail(1)
    return last.sub(last[1.0], axis=0)


def clock() -> pd.DataFrame:
    """Return the recorded times of sampling: ``seconds`` beside FLOPs counted in three ways."""
    return pd.DataFrame(read_json(data_folder() / "experiment" / "clock.json")["rows"])


def speeds() -> pd.DataFrame:
    """Return the recorded speeds of training and sampling on one core, a row a size.

    Returns
    -------
    DataFrame
        By ``N``: ``tokens`` trained a second; ``share``, their 6 N FLOPs over a plain matrix
        product's on the same core; answers a second with a key-value ``cache``, with ``no cache``
        and by the ``tree``.
    """
    found = read_json(data_folder() / "experiment" / "clock.json")
    table = pd.DataFrame(found["speeds"]).rename(columns={"no_cache": "no cache"})
    N = table.pop("width").map(n_params).rename("N")
    table.insert(1, "share", 6 * N * table["tokens"] / found["product_flops"])
    return table.set_index(N)


def time_exponents(times: pd.DataFrame) -> pd.DataFrame:
    """Fit seconds as a power of the counted FLOPs, with and without a key-value cache.

    Returns
    -------
    DataFrame
        By ``cache`` and count: ``exponent``, 1 where time is proportional to the count, and
        ``spread``, the factor of one standard deviation in FLOPs a second.
    """
    rows = []
    for cached, part in times.groupby("cache"):
        for count in ("formula", "passes", "attention"):
            slope = np.polyfit(np.log(part[count]), np.log(part["seconds"]), 1)[0]
            spread = np.exp(np.log(part[count] / part["seconds"]).std())
            row = {"cache": cached, "count": count, "exponent": slope, "spread": spread}
            rows.append(row)
    return pd.DataFrame(rows).set_index(["cache", "count"])
