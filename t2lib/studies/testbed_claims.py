"""The paper's claims on our own testbed, by rules written before its results were looked at.

A case is a family, an inference budget and a training budget (the three largest). Cases in which
guessing explains more than half of the best score are left out. As on the scorecard, a claim holds
where at least 90 % of its cases are for it, fails at 10 % or less, and is mixed in between.

* **1** (a test budget moves the optimum): for it is a case whose best size at C_inf is smaller than
  at one sample, seed by seed, with the 95 % interval over seeds below one. The same against
  Chinchilla's size, the loss's best, is shown beside; of the two shares the least counts.
* **2** (both approaches agree): Approach 1's and Approach 2's forecast are both smaller than
  Chinchilla's, and within a factor of three of each other.
* **4** (laws extrapolate): the median relative error on overtrained checkpoints is at most 10 %.
  A case is a family and an approach.
* **5** (a smaller overtrained model wins): the smaller size is chosen by the other seeds. A duel is
  won where it scores more than Chinchilla's size of the seed left out. A case is a duel.
* **6** (-log pass@k is a power law in k): the criterion of chapter 3, on whole answers; a case is a
  checkpoint that has at least one answer in a thousand right.
* **8** (recall gains less): the log gain from Chinchilla's to the best size (chosen by the other
  seeds) of eight groups of questions a family, by difficulty; recall against the rest, adjusted for
  the groups' difficulty by a line, an interval over seeds at each budget.
* **9** (survives fine-tuning): claim 1's second rule and 5 on the question format after each way
  of fine-tuning; and, at each size, whether more tokens before make the gain of tuning smaller.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from t2lib._checks import FloatArray
from t2lib.studies.answer_length import power_law_test
from t2lib.studies.testbed import (
    FAMILIES,
    INFERENCE,
    SPAN,
    answers,
    best_sizes,
    by_seed,
    interval,
    loss_line,
    minima,
    objectives,
    samples,
    variant_lines,
    variants,
)

BUDGETS = (1.28e12, 2.56e12, 5.12e12)
GUESSED = 0.5  # a case counts where guessing explains no more than this share of the best score
FACTOR = 3.0
GOOD = 0.10
HOLDS, FAILS = 0.9, 0.1  # shares of the cases
GROUPS = 8
_SIDES = ("overtrained N", "its pass@k", "Chinchilla N", "that one's pass@k")


def cases() -> Iterator[tuple[str, float, float]]:
    """Yield family, training budget and inference budget."""
    return itertools.product(FAMILIES, BUDGETS, INFERENCE)


def usual_size(budget: float) -> int:
    """Return Chinchilla's size: the trained one nearest to the loss's best."""
    line = loss_line(budget)
    best = interval(best_sizes(line, "loss"))[0]
    sizes = line["n_params"].unique()
    return int(sizes[np.argmin(np.abs(np.log(sizes / best)))])


def shifts() -> pd.DataFrame:
    """Compare best sizes, seed by seed.

    Returns
    -------
    DataFrame
        A row a case: ``family, budget, inference``; ``best``; ``against_one, against_one_low,
        against_one_high`` (best N over that at one sample) and ``against_usual...`` (over the
        loss's best), with 95 % intervals over seeds; ``score``, the best mean pass@k, and
        ``guess``, the guesser's at the same k.
    """
    from t2lib.testbed.corpus import guess_level

    rows = []
    for family, budget, inference in cases():
        found = answers(family)
        line = found.line(budget, inference)
        best = best_sizes(line)
        usual = best_sizes(loss_line(budget), "loss")
        row = {"family": family, "budget": budget, "inference": inference}
        row["best"] = interval(best)[0]
        for name, other in (("one", best_sizes(found.line(budget, None))), ("usual", usual)):
            values = interval(best / other)
            row |= dict(zip(_names(f"against_{name}"), values, strict=True))
        mean = line.groupby("n_params")["pass_at_k"].mean()
        k = int(samples(mean.index[int(np.argmax(mean))], inference))
        rows.append(row | {"score": mean.max(), "guess": guess_level(family, k)})
    return pd.DataFrame(rows)


def hangs_on(spans: Sequence[float] = (2.5, SPAN, 6.0)) -> pd.DataFrame:
    """Judge claim 1 with other spans, with each seed left out, and from samples.

    Returns
    -------
    DataFrame
        A row a choice: cases that are smaller for sure than at one sample, and than the size of
        least loss (none is left out for guessing here), each with the median ratio.
    """
    judged: dict[str, list[tuple[float, float, float, float]]] = {}
    for family, budget, inference in cases():
        losses = objectives(loss_line(budget), "loss")
        both = answers(family), answers(family, sampled=True)
        scores = [
            [objectives(found.line(budget, one), "pass_at_k") for one in (inference, None)]
            for found in both
        ]
        lines, counted = ([*pair, losses] for pair in scores)
        choices = {f"within a factor of {span:g}": (lines, span, -1) for span in spans}
        choices |= {f"without seed {seed}": (lines, SPAN, seed) for seed in lines[0][0]}
        choices |= {"from samples": (counted, SPAN, -1)}
        for name, (three, span, without) in choices.items():
            best, one, usual = (
                minima(seeds[seeds != without], N, y[seeds != without], span=span)
                for seeds, N, y in three
            )
            (a, _, a_high), (b, _, b_high) = interval(best / one), interval(best / usual)
            judged.setdefault(name, []).append((a, b, a_high < 1, b_high < 1))
    rows = {}
    for name, values in judged.items():
        a, b, a_sure, b_sure = np.array(values, dtype=float).T
        rows[name] = [a_sure.sum(), np.median(a), b_sure.sum(), np.median(b)]
    names = ["sure, one sample", "ratio, one sample", "sure, least loss", "ratio, least loss"]
    return pd.DataFrame(rows, index=names).T


def _names(name: str) -> tuple[str, str, str]:
    return name, f"{name}_low", f"{name}_high"


def duels(lines: pd.DataFrame) -> pd.DataFrame:
    """Let a smaller size, chosen by the other seeds, meet Chinchilla's.

    Parameters
    ----------
    lines : DataFrame
        ``family, budget, inference, seed, n_params, pass_at_k``.

    Returns
    -------
    DataFrame
        A row a case and seed: ``n_params`` (the smaller), ``usual``, ``log_gain``, ``won``.
    """
    rows = []
    for keys, line in lines.groupby(["family", "budget", "inference"]):
        seeds, N, passed = by_seed(line, "pass_at_k")
        usual = usual_size(line["budget"].iloc[0])
        for i, seed in enumerate(seeds):
            chosen = smaller_choice(N, passed, i, usual)
            ours, theirs = np.maximum(passed[i, [chosen, list(N).index(usual)]], 1e-12)
            row = dict(zip(("family", "budget", "inference"), keys, strict=True))
            pair = {"seed": seed, "n_params": N[chosen], "usual": usual}
            rows.append(row | pair | {"log_gain": np.log(ours / theirs), "won": ours > theirs})
    return pd.DataFrame(rows)


def smaller_choice(N: FloatArray, passed: FloatArray, left_out: int, usual: float) -> int:
    """Return the place of the best size below Chinchilla's, by the mean over the other seeds.

    Among the sizes that the seed left out has been trained at.
    """
    others = np.delete(passed, left_out, axis=0)
    known = np.isfinite(others).sum(axis=0)
    mean = np.nansum(others, axis=0) / np.maximum(known, 1)
    there = (usual > N) & np.isfinite(passed[left_out]) & (known > 0)
    return int(np.argmax(np.where(there, mean, -1.0)))


def side_by_side(lines: pd.DataFrame) -> pd.DataFrame:
    """Return a table like the paper's tables 1 and 2, of lines at one pair of budgets.

    Parameters
    ----------
    lines : DataFrame
        As :func:`duels` takes them.

    Returns
    -------
    DataFrame
        By family: the best size below Chinchilla's, its mean pass@k, Chinchilla's size, and the
        pass@k of that.
    """
    rows = {}
    for family, line in lines.groupby("family"):
        mean = line.groupby("n_params")["pass_at_k"].mean()
        usual = usual_size(line["budget"].iloc[0])
        best = mean[mean.index < usual].idxmax()
        found = [best, mean[best], usual, mean[usual]]
        rows[family] = dict(zip(_SIDES, found, strict=True))
    return pd.DataFrame(rows).T.loc[list(FAMILIES)]


def all_lines(*, sampled: bool = False) -> pd.DataFrame:
    """Return every case's line, from likelihoods or samples, one below the other."""
    parts = [
        answers(family, sampled=sampled)
        .line(budget, inference)
        .assign(family=family, inference=inference)
        for family, budget, inference in cases()
    ]
    return pd.concat(parts, ignore_index=True)


def tuned_lines() -> pd.DataFrame:
    """Return the same in the question format: ``variant`` says how the models were tuned."""
    table = variants()
    table = table[table["variant"].str.startswith("tuned=") & table["budget"].isin(BUDGETS)]
    return pd.concat([variant_lines(table, one) for one in INFERENCE], ignore_index=True)


def tuned_shifts(lines: pd.DataFrame) -> pd.DataFrame:
    """Compare best sizes in the question format with the size of least loss, seed by seed.

    Parameters
    ----------
    lines : DataFrame
        Of :func:`tuned_lines`.

    Returns
    -------
    DataFrame
        ``variant, family, budget, inference`` and ``ratio, low, high``, 95 % over seeds.
    """
    rows = []
    keys = ["variant", "family", "budget", "inference"]
    for key, line in lines.groupby(keys):
        row = dict(zip(keys, key, strict=True))
        usual = best_sizes(loss_line(line["budget"].iloc[0]), "loss")
        found = interval(best_sizes(line) / usual)
        rows.append(row | dict(zip(("ratio", "low", "high"), found, strict=True)))
    return pd.DataFrame(rows)


def both_approaches(forecast: pd.DataFrame) -> pd.DataFrame:
    """Apply the rule of claim 2 to a forecast.

    Parameters
    ----------
    forecast : DataFrame
        As :func:`t2lib.studies.forecast.forecast` returns.

    Returns
    -------
    DataFrame
        A row a case: N of ``AdditiveLaw``, ``BetaRegressionLaw`` and ``Chinchilla``; ``smaller``,
        whether both are smaller than Chinchilla's; ``factor`` between the two; ``agree``.
    """
    keys = ["family", "budget", "inference"]
    sizes = forecast[forecast["what"] == "N"].pivot(index=keys, columns="law", values="value")
    one, two = sizes["AdditiveLaw"], sizes["BetaRegressionLaw"]
    smaller = (one < sizes["Chinchilla"]) & (two < sizes["Chinchilla"])
    factor = np.exp(np.abs(np.log(one / two)))
    found = sizes[["AdditiveLaw", "BetaRegressionLaw", "Chinchilla"]]
    found = found.assign(smaller=smaller, factor=factor, agree=smaller & (factor <= FACTOR))
    return found.reset_index()


def verdict(share: float) -> str:
    """Return the scorecard's word for a share of cases.

    Examples
    --------
    >>> verdict(0.95), verdict(0.5), verdict(0.1)
    ('holds', 'mixed', 'fails')
    """
    return "holds" if share >= HOLDS else "fails" if share <= FAILS else "mixed"


def power_law_cases(curves: pd.DataFrame) -> pd.DataFrame:
    """Apply the criterion of claim 6 to the testbed's checkpoints.

    Parameters
    ----------
    curves : DataFrame
        A curve table of the testbed's likelihoods.

    Returns
    -------
    DataFrame
        As :func:`~t2lib.studies.answer_length.power_law_test`.
    """
    first = curves[curves["k"] == 1]
    known = first.loc[first["pass_at_k"] >= 1e-3, ["task", "model", "n_tokens"]]
    return power_law_test(curves.merge(known, on=["task", "model", "n_tokens"]))


def gains_by_difficulty() -> pd.DataFrame:
    """Return the log gain from Chinchilla's to the best size, by groups of questions.

    Returns
    -------
    DataFrame
        A row a case, seed and group: ``difficulty`` (mean NLL of the group at Chinchilla's size,
        over seeds) and ``log_gain``.
    """
    rows = []
    for family, budget, inference in cases():
        found = answers(family)
        there = np.isclose(found.checkpoints["budget"], budget)
        table, nll = found.checkpoints[there], found.nll[there]
        usual = usual_size(budget)
        difficulty = nll[(table["n_params"] == usual).to_numpy()].mean(axis=0)
        groups = np.argsort(np.argsort(difficulty)) * GROUPS // len(difficulty)
        k = samples(table["n_params"], inference)
        right = -np.expm1(k[:, None] * np.log1p(-np.exp(-np.maximum(nll, 1e-9))))
        passed = np.array([right[:, groups == g].mean(axis=1) for g in range(GROUPS)]).T
        seeds, N, whole = by_seed(table.assign(pass_at_k=right.mean(axis=1)), "pass_at_k")
        for i, seed in enumerate(seeds):
            chosen = N[smaller_choice(N, whole, i, usual)]
            of_seed = (table["seed"] == seed).to_numpy()
            ours, theirs = (
                passed[of_seed & (table["n_params"] == size).to_numpy()][0]
                for size in (chosen, usual)
            )
            for group in range(GROUPS):
                row = {"family": family, "budget": budget, "inference": inference, "seed": seed}
                gain = np.log(np.maximum(ours[group], 1e-9) / np.maximum(theirs[group], 1e-9))
                middle = difficulty[groups == group].mean()
                rows.append(row | {"group": group, "difficulty": middle, "log_gain": gain})
    return pd.DataFrame(rows)


def recall_differences() -> pd.DataFrame:
    """Return :func:`recall_difference` of every pair of budgets: mean over seeds, 95 % interval."""
    from scipy import stats

    rows = []
    for (budget, inference), part in gains_by_difficulty().groupby(["budget", "inference"]):
        values = recall_difference(part)
        half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
        middle = float(values.mean())
        row = {"budget": budget, "inference": inference, "difference": middle}
        rows.append(row | {"low": middle - half, "high": middle + half})
    return pd.DataFrame(rows)


def recall_difference(gains: pd.DataFrame) -> pd.Series:
    """Return how much less recall gains than the rest at equal difficulty, by seed.

    The coefficient of recall in a least-squares line of the log gain in the difficulty.
    """
    found = {seed: _recall_coefficient(rows) for seed, rows in gains.groupby("seed")}
    return pd.Series(found, name="recall")


def _recall_coefficient(rows: pd.DataFrame) -> float:
    is_recall = (rows["family"] == "recall").to_numpy(float)
    design = np.column_stack([np.ones(len(rows)), rows["difficulty"], is_recall])
    found: FloatArray = np.linalg.lstsq(design, rows["log_gain"].to_numpy(float), rcond=None)[0]
    return float(found[2])


def tuning_slopes() -> pd.DataFrame:
    """Return how the gain of fine-tuning changes with the tokens before it, at each size.

    Returns
    -------
    DataFrame
        ``variant, family, n_params``; ``slope``, ``low``, ``high``: change of the gain in mean NLL
        (nats; positive where tuning helps) for each doubling of the tokens, with a 95 % interval
        over seeds (each seed's slope by least squares).
    """
    from scipy import stats

    table = variants()
    table = table[table["variant"].str.startswith("tuned=") & (table["k"] == 1)]
    keys = ["family", "n_params", "seed", "n_tokens"]
    wide = table.pivot(index=keys, columns="variant", values="mean_nll")
    rows = []
    for variant in wide.columns.drop("tuned=no"):
        gain = (wide["tuned=no"] - wide[variant]).rename("gain").reset_index()
        for (family, n_params), part in gain.groupby(["family", "n_params"]):
            slopes = [
                np.polyfit(np.log2(one["n_tokens"]), one["gain"], 1)[0]
                for _, one in part.groupby("seed")
                if len(one) > 2
            ]
            if len(slopes) < 2:
                continue
            half = stats.t.ppf(0.975, len(slopes) - 1) * stats.sem(slopes)
            middle = float(np.mean(slopes))
            row = {"variant": variant, "family": family, "n_params": n_params, "slope": middle}
            rows.append(row | {"low": middle - half, "high": middle + half})
    return pd.DataFrame(rows)


def share_won(found: pd.DataFrame) -> pd.Series:
    """Return the share of :func:`duels` won, the duels, and the median factor that was gained."""
    gain = float(np.exp(found["log_gain"].median()))
    return pd.Series({"won": found["won"].mean(), "duels": len(found), "median factor": gain})
