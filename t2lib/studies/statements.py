"""The book's statements under other choices than their chapters made.

Every function returns trials: a row a specification, with the ``chapter``, the ``statement``, its
choices, and ``holds``. :func:`summary` counts them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from t2lib.data.curves import load_curves
from t2lib.data.layouts import load_points
from t2lib.data.registry import Recorded, recorded
from t2lib.data.suites import load_questions, task_name
from t2lib.fitting.beta import (
    fit_beta_consistent,
    fit_beta_consistent_counts,
    fit_beta_regression,
)
from t2lib.fitting.powers import fit_additive, fit_at_each_k, fit_chinchilla
from t2lib.fitting.table import law_of
from t2lib.isoflop import at_equal_compute, envelope
from t2lib.studies.pass_at_k_law import tasks_that_follow_training
from t2lib.studies.specification_curve import specifications

TRAIN = 1e21  # FLOPs at which plans are read
BUDGETS = (2e9, 2e10, 1.4e11)  # inference FLOPs per token
WEAK = "Gemstone-1024x28"  # it gets worse late in training
LAWS = ("AdditiveLaw", "BetaRegressionLaw", "BetaConsistentLaw")
SMALL = ("Pythia-14M", "Pythia-70M", "Pythia-160M")
CHOICES = ("tasks", "k", "max_ratio", "outliers", "n_params", "objective")
VOCABULARY = 50_304  # of Gemstones: what the lines of N in depth leave over, by width
_METRICS = {"pass@k": "pass_at_k", "-log pass@k": "neg_log_pass"}
_SUITES = {
    "chinchilla": "chinchilla_points",
    "porian": "porian_isoflop",
    "gemstones": "gemstones_loss_edu",
    "gadre": "gadre_models",
}
_CHINCHILLA_FLOPS = 5.76e23


def _state(chapter: int, text: str, outcomes: Iterable[Mapping[str, Any]] | pd.DataFrame) -> Any:
    """Return trials of one statement."""
    table = outcomes if isinstance(outcomes, pd.DataFrame) else pd.DataFrame(list(outcomes))
    return table.assign(holds=table["holds"].astype(bool), chapter=chapter, statement=text)


# ------------------------------------------------------------------------- plans of the T2 laws


def embedding_widths(curves: pd.DataFrame) -> pd.Series:
    """Parameters that are not in the blocks, over the width, of each width with two depths.

    N is a line in the depth; its intercept is two embedding matrices and one last norm.
    """
    shape = curves.drop_duplicates("model")["model"].str.extract(r"-(\d+)x(\d+)").astype(int)
    shape = shape.set_axis(["width", "depth"], axis=1).assign(N=curves["n_params"])
    return pd.Series(
        {
            width: np.polyfit(group["depth"], group["N"], 1)[1] / width
            for width, group in shape.groupby("width")
            if len(group) > 1
        }
    )


def thinned(curves: pd.DataFrame, every: int = 9) -> pd.DataFrame:
    """Every ninth checkpoint, with ``non_embedding``, the parameters without the embeddings."""
    steps = np.sort(curves["n_tokens"].unique())[::every]
    rows = curves[curves["n_tokens"].isin(steps)]
    width = rows["model"].str.extract(r"-(\d+)x")[0].astype(int)
    return rows.assign(non_embedding=rows["n_params"] - 2 * VOCABULARY * width)


def plans_under_every_choice(
    curves: pd.DataFrame, only: str | None = None, budgets: Sequence[float] = BUDGETS
) -> pd.DataFrame:
    """Refit Chinchilla's and the T2 laws under every combination of the choices below.

    Tasks: ARC-Easy, HellaSwag, or the mean over those that follow training. k: to 16 or to 256.
    Tokens per parameter: any, or at most 400. Outliers: kept, or without one model that gets worse.
    N: all parameters, or all but the embeddings. Loss of the first stage: squares or Huber.

    Parameters
    ----------
    curves : DataFrame
        Gemstones' curve table.
    only : str, optional
        One of the choices of tasks, instead of all: "ARC-Easy", "HellaSwag" or "mean".
    budgets : sequence of float
        Inference FLOPs per token.

    Returns
    -------
    DataFrame
        As :func:`~t2lib.studies.specification_curve.specifications`.
    """
    tasks = {
        "ARC-Easy": ["arce"],
        "HellaSwag": ["hellaswag_zeroshot"],
        "mean": tasks_that_follow_training(curves),
    }
    return specifications(
        thinned(curves),
        law=("Chinchilla", *LAWS),
        tasks=tasks if only is None else {only: tasks[only]},
        k={"1 to 16": (1, 4, 16), "1 to 256": (1, 16, 256)},
        max_ratio=(np.inf, 400),
        outliers={"kept": None, "no 1024x28": _without_weak},
        n_params=("n_params", "non_embedding"),
        objective=("sse", "huber_log"),
        train_flops=TRAIN,
        inference_flops=budgets,
    )


def _without_weak(table: pd.DataFrame) -> pd.Series:
    return table["model"] != WEAK


def about_plans(plans: pd.DataFrame) -> pd.DataFrame:
    """Statements about the plans of :func:`plans_under_every_choice`."""
    choices, keys = list(CHOICES), [*CHOICES, "inference_flops"]
    paid = plans[plans["law"] != "Chinchilla"]
    over = paid.dropna(subset="over_chinchilla")
    sizes = paid.pivot_table(index=keys, columns="law", values="N").dropna().reset_index()
    apart = np.abs(np.log(sizes["AdditiveLaw"] / sizes["BetaRegressionLaw"]))
    chinchilla = plans[plans["law"] == "Chinchilla"]
    additive = paid[paid["law"] == "AdditiveLaw"].drop_duplicates(choices)
    without_k = [c for c in choices if c != "k"]
    both = additive.merge(chinchilla, on=without_k, suffixes=("", "_chinchilla"))
    ceilings = paid[paid["law"] == "BetaRegressionLaw"].drop_duplicates(choices)
    return pd.concat(
        [
            _state(
                7,
                "A T2 law asks for more tokens per parameter than Chinchilla's law of the rows",
                over.assign(holds=over["over_chinchilla"] > 1),
            ),
            _state(
                7,
                "A T2 law asks for more than 20 tokens per parameter",
                paid.assign(holds=paid["tokens_per_parameter"] > 20),
            ),
            _state(
                7,
                "Approaches 1 and 2 agree on the best N within a factor of 3",
                sizes.assign(holds=apart < np.log(3)),
            ),
            _state(
                7,
                "The plan lies within the N, D and k that were fitted",
                paid.assign(holds=paid["inside"]),
            ),
            _state(
                4,
                "The additive law's exponent of N is larger than that of Chinchilla's law",
                both.assign(holds=both["alpha"] > both["alpha_chinchilla"]),
            ),
            _state(
                5,
                "The ceiling of Approach 2 ends at its bound of 1",
                ceilings.assign(holds=ceilings["at_bounds"].str.contains("theta2 at its upper")),
            ),
        ]
    )


# ------------------------------------------------------------------------------- the baseline


def baseline_fits() -> Recorded:
    """Chinchilla's law of each suite with validation losses, under other choices; or as recorded.

    Returns
    -------
    Recorded
        ``values``: ``rows`` (suite, choices, ``tokens_per_parameter`` at 1e21 FLOPs,
        ``size_exponent``), and how many were ``asked``.
    """
    return recorded("statements_baseline", _baseline_fits, inputs=list(_SUITES.values()))


def _baseline_fits() -> dict[str, Any]:
    found: list[Any] = []
    for suite in _SUITES:
        points = load_points(suite)
        if suite == "gadre":  # three training sets are three laws: keep one
            points = points[points["model"].str.startswith("c4_original")]
        specs = specifications(
            points,
            max_ratio=(np.inf, 100),
            outliers={"kept": None, "no 5 largest": _without_five_largest},
            objective=("sse", "huber_log"),
            weights=("rows", "relative"),
            train_flops=TRAIN,
        )
        good = specs[specs["failed"] == ""].assign(
            suite=suite, max_ratio=specs["max_ratio"].map("{:g}".format)
        )
        columns = ["suite", "max_ratio", "outliers", "objective", "weights"]
        columns += ["tokens_per_parameter", "size_exponent", "at_bounds"]
        found += good[columns].to_dict("records")
    return {"rows": found, "asked": 16 * len(_SUITES)}


def _without_five_largest(points: pd.DataFrame) -> pd.Series:
    return points["loss"] < points["loss"].nlargest(5).min()


def about_the_baseline(fits: Recorded) -> pd.DataFrame:
    """Statements about Chinchilla's law of validation losses."""
    rows = pd.DataFrame(fits.values["rows"])
    tried = []
    for C in (TRAIN, _CHINCHILLA_FLOPS):
        ratio = rows["tokens_per_parameter"] * (C / TRAIN) ** (1 - 2 * rows["size_exponent"])
        tried.append(rows.assign(budget=f"{C:.3g}", holds=ratio.between(10, 40)))
    alike = (rows["size_exponent"] - 0.5).abs() < 0.05
    return pd.concat(
        [
            _state(2, "Chinchilla's best ratio is 20 within a factor of 2", pd.concat(tried)),
            _state(
                2,
                "Parameters and tokens grow alike: a is within 0.05 of one half",
                rows.assign(holds=alike),
            ),
        ]
    )


# -------------------------------------------------------------------------- checkpoints, no law

Scores = dict[tuple[str, str, float | None], pd.DataFrame]


def scores_at_budgets(curves: pd.DataFrame) -> Scores:
    """-log pass@k of each checkpoint at its own k, rounded down to a power of two.

    Returns
    -------
    dict
        By task, metric and inference budget (None: one sample): ``model, n_params, n_tokens,
        loss``; checkpoints that cannot answer once are missing.
    """
    found: Scores = {}
    for task, group in curves.groupby("task"):
        for metric, column in _METRICS.items():
            table = group.pivot(index=["model", "n_params", "n_tokens"], columns="k", values=column)
            N = table.index.get_level_values("n_params").to_numpy()
            for budget in (None, *BUDGETS):
                k = np.ones(len(N)) if budget is None else budget / (2 * N)
                row = np.flatnonzero(k >= 1)
                power = np.floor(np.log2(k[row]) + 1e-9).astype(int)
                values = table.to_numpy()[row, np.minimum(power, table.shape[1] - 1)]
                loss = -np.log(values) if metric == "pass@k" else values
                frame = table.iloc[row].index.to_frame(index=False).assign(loss=loss)
                found[str(task), metric, budget] = frame
    return found


def about_best_checkpoints(scores: Scores) -> pd.DataFrame:
    """Whether a known test budget makes a smaller trained model best, without any law."""
    levels, rows = np.geomspace(1e19, 1e21, 7), []
    cases = dict.fromkeys((task, metric) for task, metric, _ in scores)
    points = {case: at_equal_compute(table, levels) for case, table in scores.items()}
    for (task, metric), drop in itertools.product(cases, (None, WEAK)):
        best = {}
        for budget in (None, *BUDGETS):
            kept = points[task, metric, budget]
            best[budget] = envelope(kept[kept["model"] != drop]).set_index("train_flops")["N"]
        for budget in BUDGETS:
            for C in best[budget].index.intersection(best[None].index):
                here = {"task": task, "metric": metric, "C_inf": budget, "C_train": f"{C:.1e}"}
                smaller = best[budget][C] < best[None][C]
                rows.append(here | {"left out": str(drop), "holds": smaller})
    text = "Without a law: a known test budget makes a smaller trained Gemstone best"
    return _state(7, text, rows)


def _nearest_to(checkpoints: pd.DataFrame, ratio: float, room: float = 1.5) -> pd.DataFrame:
    """Each model's checkpoint nearest to a ratio, within a factor."""
    off = np.log(checkpoints["ratio"] / ratio).abs()
    near = checkpoints.loc[off.groupby(checkpoints["model"]).idxmin()]
    return near[np.log(near["ratio"] / ratio).abs() < np.log(room)]


def about_duels(scores: Scores) -> pd.DataFrame:
    """Statements about checkpoints along a ratio, duels at equal budgets, and kinds of task."""
    keys = ["model", "n_params", "n_tokens"]
    first = next(iter(scores))
    checkpoints = scores[first[0], first[1], None][keys]
    checkpoints = checkpoints.assign(
        ratio=checkpoints["n_tokens"] / checkpoints["n_params"],
        C=6 * checkpoints["n_params"] * checkpoints["n_tokens"],
    )
    N, C = checkpoints["n_params"].to_numpy(), checkpoints["C"].to_numpy()
    losses = {  # NaN where a size cannot answer
        case: checkpoints.merge(table, on=keys, how="left")["loss"].to_numpy()
        for case, table in scores.items()
    }
    falls, fights = [], []
    cases = dict.fromkeys((task, metric) for task, metric, _ in scores)
    for ratio in (10, 20, 40):
        near = _nearest_to(checkpoints, ratio).index.to_numpy()
        apart, smaller = np.abs(np.log(C / C[near, None])), N / N[near, None]
        for (task, metric), budget in itertools.product(cases, BUDGETS):
            here = {"ratio": ratio, "task": task, "metric": metric, "C_inf": budget}
            loss = losses[task, metric, budget]
            path = near[np.isfinite(loss[near])]
            if len(path) > 3 and C[path].max() > 2 * C[path].min():
                falls.append(here | {"holds": stats.spearmanr(C[path], loss[path])[0] > 0})
            gains = loss[near, None] - loss
            for tolerance, share in itertools.product((1.12, 1.25), (0.5, 0.25)):
                gain = gains[(apart <= np.log(tolerance)) & (smaller <= share)]
                gain = gain[np.isfinite(gain)]
                if len(gain) >= 5:
                    fight = here | {"tolerance": tolerance, "size": share, "gain": gain.mean()}
                    fights.append(fight | {"holds": (gain > 0).mean() > 0.5})
    return pd.concat(
        [
            _state(
                7,
                "Along a fixed ratio (10, 20 or 40) the trained checkpoints get worse with compute",
                falls,
            ),
            _state(7, "At equal budgets the smaller, overtrained Gemstone wins most duels", fights),
            _state(
                7,
                "Tasks of reasoning gain more than tasks of knowledge",
                _classes(pd.DataFrame(fights)),
            ),
        ]
    )


def _classes(fights: pd.DataFrame) -> list[dict[str, Any]]:
    """Gains of tasks of reasoning against those of knowledge, with CoQA in either class."""
    rows, by = [], ["ratio", "C_inf", "tolerance", "size"]
    for key, group in fights[fights["metric"] == "pass@k"].groupby(by):
        gain = group.set_index("task")["gain"]
        for more in ([], ["coqa"]):
            knowledge = ["arcc", "arce", "openbook", *more]
            if set(knowledge) < set(gain.index):
                holds = gain.drop(knowledge).mean() > gain[knowledge].mean()
                row = dict(zip(by, key, strict=True))
                rows.append(row | {"knowledge": len(knowledge), "holds": holds})
    return rows


# ----------------------------------------------------------------------------- curves in k


def about_k(curves: pd.DataFrame, pythia: pd.DataFrame) -> pd.DataFrame:
    """Statements about the naive law, the power law in k, and the exponent at large k."""
    return pd.concat(
        [
            _state(
                3,
                "The naive pass@k is too high (for 90 % of the checkpoints)",
                _naive(curves, pythia),
            ),
            _state(
                3, "-log pass@k is a power of k (for 90 %, slopes within 10 %)", _straight(curves)
            ),
            _state(
                6,
                "The compute exponent of -log pass@k is larger at large k than at k = 1",
                _steeper({"gemstones": curves, "pythia": pythia}),
            ),
        ]
    )


def _naive(curves: pd.DataFrame, pythia: pd.DataFrame) -> list[dict[str, Any]]:
    rows = []
    for suite, table, ks in (
        ("gemstones", curves, (4, 16, 64, 256, 1024)),
        ("pythia", pythia, (4, 16, 64, 128)),
    ):
        for task, group in table.groupby("task"):
            wide = group.pivot(index=["model", "n_tokens"], columns="k", values="pass_at_k")
            wide = wide[wide[1] > 0]
            for k in ks:
                naive = 1 - (1 - wide[1]) ** k
                # With samples of one question rates can be equal but for rounding.
                above = naive > wide[k] if suite == "gemstones" else naive >= wide[k] * (1 - 1e-9)
                rows.append({"suite": suite, "task": task, "k": k, "holds": above.mean() >= 0.9})
    return rows


def _straight(curves: pd.DataFrame) -> list[dict[str, Any]]:
    rows = []
    for task, group in curves.groupby("task"):
        logs = np.log(group.pivot(index=["model", "n_tokens"], columns="k", values="neg_log_pass"))
        for a, b, c, d in ((1, 4, 64, 256), (1, 8, 32, 256), (1, 2, 16, 32), (4, 16, 64, 256)):
            first = (logs[b] - logs[a]) / np.log(b / a)
            last = (logs[d] - logs[c]) / np.log(d / c)
            holds = (np.abs(last / first - 1) < 0.1).mean() >= 0.9
            rows.append({"task": task, "k": f"{a} to {b}, {c} to {d}", "holds": holds})
    return rows


def _steeper(suites: Mapping[str, pd.DataFrame]) -> list[dict[str, Any]]:
    rows = []
    for suite, table in suites.items():
        top, cut_off = (256, 400) if suite == "gemstones" else (64, 100)
        for (task, group), cut in itertools.product(table.groupby("task"), (np.inf, cut_off)):
            used = group[group["k"].isin([1, top]) & (group["n_tokens"] <= cut * group["n_params"])]
            used = used[used["pass_at_k"].between(0, 1, inclusive="neither")]
            columns = (used[c] for c in ("n_params", "n_tokens", "k", "pass_at_k"))
            params = fit_at_each_k(*columns).params
            holds = params[f"alpha[{top}]"] > params["alpha[1]"]
            rows.append({"suite": suite, "task": task, "cut": f"{cut:g}", "holds": holds})
    return rows


# ------------------------------------------------------------------------------- forecasts

_MEASURES = {
    "mean relative error": lambda e: e.abs().mean(),
    "root mean square": lambda e: np.sqrt((e**2).mean()),
    "median relative error": lambda e: e.abs().median(),
}


def about_forecasts(curves: pd.DataFrame) -> pd.DataFrame:
    """Statements about laws fitted below a ratio and judged above it."""
    thin = thinned(curves)
    beats_one, beats_two, as_good = [], [], []
    laws: dict[str, Any] = {}
    for task, cut in itertools.product(sorted(curves["task"].unique()), (200, 400)):
        errors, laws = _forecast(thin[thin["task"] == task], cut, laws)
        for (measure, f), k in itertools.product(_MEASURES.items(), ("all", 1, 256)):
            size = {key: f(e if k == "all" else e[e.index == k]) for key, e in errors.items()}
            row = {"task": task, "cut": cut, "measure": measure, "k": str(k)}
            nats, share = "neg_log_pass", "pass_at_k"
            beats_one.append(row | {"holds": size["ours", nats] < size["one", nats]})
            beats_two.append(row | {"holds": size["ours", share] < size["two", share]})
            for law, metric, claimed in (("one", nats, 0.028), ("two", share, 0.084)):
                as_good.append(row | {"law": law, "holds": size[law, metric] <= claimed})
    return pd.concat(
        [
            _state(
                6,
                "Overtrained: the Beta-consistent law beats Approach 1 on -log pass@k",
                beats_one,
            ),
            _state(6, "Overtrained: the Beta-consistent law beats Approach 2 on pass@k", beats_two),
            _state(
                7,
                "The paper's approaches forecast overtrained Gemstones as well as in the paper",
                as_good,
            ),
        ]
    )


def _forecast(
    rows: pd.DataFrame, cut: float, start: Mapping[str, Any]
) -> tuple[dict[tuple[str, str], pd.Series], dict[str, Any]]:
    """Relative errors above a cut-off of laws fitted below it (index: k), and the laws."""
    rows = rows[rows["k"].isin([1, 16, 256])]
    low = rows["n_tokens"] <= cut * rows["n_params"]
    fitted, judged = rows[low], rows[~low]
    N, D, k = (fitted[c] for c in ("n_params", "n_tokens", "k"))
    once = fitted[fitted["k"] == 1]
    first = fit_chinchilla(once["n_params"], once["n_tokens"], once["mean_nll"])
    given = {"loss": fitted["mean_nll"], "chinchilla": first.law}
    passed = fitted["pass_at_k"]
    laws = {
        "one": fit_additive(N, D, k, fitted["neg_log_pass"]).law,
        "two": fit_beta_regression(N, D, k, passed, **given, start=start.get("two")).law,
        "ours": fit_beta_consistent(N, D, k, passed, **given, start=start.get("ours")).law,
    }
    sizes = [judged[c] for c in ("n_params", "n_tokens", "k")]
    out = {}
    for name, metric in itertools.product(laws, ("neg_log_pass", "pass_at_k")):
        if hasattr(laws[name], metric):
            error = getattr(laws[name], metric)(*sizes) / judged[metric] - 1
            out[name, metric] = pd.Series(error.to_numpy(), index=judged["k"].to_numpy())
    return out, laws


def pythia_forecasts() -> Recorded:
    """Laws fitted to Pythia's counts below a ratio, with all models or without the largest."""
    inputs = ["pythia_gsm8k", "pythia_math"]
    return recorded("statements_pythia", _pythia_forecasts, inputs=inputs)


def _pythia_forecasts() -> dict[str, Any]:
    found = []
    for task, cut in itertools.product(("gsm8k", "math"), (50, 100)):
        table = load_questions("pythia", task)
        low = table[table["n_tokens"] <= cut * table["n_params"]]
        for left_out in ("none", "Pythia-12B"):
            rows = low[low["model"] != left_out]
            columns = (rows[c] for c in ("n_params", "n_tokens", "n_samples", "n_correct"))
            params = fit_beta_consistent_counts(*columns).params
            found.append({"task": task, "cut": cut, "left out": left_out, "params": params})
    return {"rows": found}


def about_pythia(fits: Recorded, pythia: pd.DataFrame) -> pd.DataFrame:
    """Whether the forecast for the smallest Pythia models is too high."""
    rows = []
    for fit in fits.values["rows"]:
        law = law_of("BetaConsistentLaw", fit["params"])
        seen = pythia[(pythia["task"] == fit["task"]) & (pythia["pass_at_k"] > 0)]
        seen = seen[seen["n_tokens"] > fit["cut"] * seen["n_params"]]
        for model, k in itertools.product(SMALL, (1, 8, 64)):
            mine = seen[(seen["model"] == model) & (seen["k"] == k)]
            if len(mine):
                said = law.pass_at_k(mine["n_params"], mine["n_tokens"], k)
                error = np.log10(said / mine["pass_at_k"]).mean()
                key = {c: fit[c] for c in ("task", "cut", "left out")}
                rows.append(key | {"model": model, "k": k, "holds": error > 0.1})
    text = "The forecast for Pythia's smallest models is too high by 0.1 decades or more"
    return _state(8, text, rows)


# ---------------------------------------------------------------------------------- together


def all_trials(curves: pd.DataFrame, plans: pd.DataFrame) -> pd.DataFrame:
    """Every statement's trials, in the order of the book's arguments."""
    pythia, scores = load_curves("pythia"), scores_at_budgets(curves)
    parts = [
        about_plans(plans),
        about_the_baseline(baseline_fits()),
        about_best_checkpoints(scores),
        about_duels(scores),
        about_k(curves, pythia),
        about_forecasts(curves),
        about_pythia(pythia_forecasts(), pythia),
    ]
    return pd.concat(parts, ignore_index=True)


def summary(trials: pd.DataFrame) -> pd.DataFrame:
    """Count each statement's trials.

    Returns
    -------
    DataFrame
        By statement, most often true first: ``chapter``, ``holds`` and ``of`` (trials), ``share``,
        and ``weakest``, the level of a choice at which it fails most, where it fails at some.
    """
    rows = []
    for text, table in trials.groupby("statement", sort=False):
        share = table["holds"].mean()
        row = {"statement": text, "chapter": int(table["chapter"].iloc[0])}
        row |= {"holds": int(table["holds"].sum()), "of": len(table), "share": float(share)}
        rows.append(row | {"weakest": _weakest(table)})
    found = pd.DataFrame(rows).set_index("statement")
    return found.sort_values("share", ascending=False, kind="stable")


def _level(choice: str, value: object) -> str:
    if choice == "task":
        return task_name(str(value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _weakest(table: pd.DataFrame) -> str:
    choices = [*CHOICES, "inference_flops", "law", "task", "metric", "C_inf", "C_train", "suite"]
    choices += ["measure", "cut", "ratio", "budget", "size", "tolerance", "left out", "weights"]
    choices += ["knowledge", "model"]
    if table["holds"].all() or not table["holds"].any():
        return ""
    worst = (1.0, "")
    for choice in [c for c in choices if c in table]:
        levels = table[choice].dropna().map(partial(_level, choice))
        if len(set(levels)) > 1:
            share = table.loc[levels.index, "holds"].groupby(levels).mean()
            worst = min(worst, (float(share.min()), f"{choice} {share.idxmin()}"))
    return worst[1].replace("_", " ")
