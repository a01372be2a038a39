"""A fitted suite in figures: what ``t2 fit`` reports and chapter 11 shows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from t2lib.fitting.table import law_row
from t2lib.planning.forward import isoflop_profile
from t2lib.planning.objective import metric_of
from t2lib.plots import GREY, RED, YELLOW, log_counts, plain_ticks
from t2lib.studies.suite_fits import SuiteFit, predict
from t2lib.studies.suite_tables import METRIC, UNITS, judged_on, label

A_FIGURE = 8  # panels, one a task
_FEW_DOTS = 200
_SHORT = {"pass_at_k": "pass@k", "neg_log_pass": "-log pass@k (nats)", "loss": "loss (nats)"}


def figure_text(name: str, longest: int = 30) -> str:
    """Return a name fit for a figure: short, on one line, and never read as a formula."""
    plain = " ".join("".join(c if c.isprintable() else " " for c in name).split())
    short = plain if len(plain) <= longest else plain[: longest - 1] + "…"
    return short.replace("$", r"\$")


def groups(suite: SuiteFit) -> Iterator[list[str]]:
    """Tasks that share a figure: at most 8 panels each, so that every task is drawn."""
    for first in range(0, len(suite.tasks), A_FIGURE):
        yield suite.tasks[first : first + A_FIGURE]


def _panels(tasks: list[str], height: float = 2.6) -> tuple[Figure, dict[str, Axes]]:
    columns = 1 if len(tasks) <= 2 else 2
    rows = -(-len(tasks) // columns)
    size = (5.8 if columns == 2 else 4.4, height * rows)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False)
    for ax in axes.flat[len(tasks) :]:
        ax.remove()
    for ax, task in zip(axes.flat, tasks, strict=False):
        ax.set_title(figure_text(task, 24), fontsize=10)
        ax.tick_params(labelsize=9, which="both")
    return figure, dict(zip(tasks, axes.flat, strict=False))


def _metric_of(suite: SuiteFit, tasks: list[str]) -> str:
    kinds = {judged_on(suite, task, suite.best_law(task)) for task in tasks}
    return UNITS[kinds.pop()] if len(kinds) == 1 else "the task's metric"


def checkpoints(rows: pd.DataFrame) -> Figure:
    """Tokens against parameters of every checkpoint, one colour a model."""
    points = rows.drop_duplicates(["model", "n_tokens"])
    figure, ax = plt.subplots()
    for place, (_, run) in enumerate(points.groupby("model")):
        color = plt.get_cmap("viridis")(place / max(points["model"].nunique() - 1, 1))
        ax.plot(run["n_params"], run["n_tokens"], "o", ms=4, color=color, alpha=0.8)
    ends = points["n_params"].agg(["min", "max"]).to_numpy()
    ax.plot(ends, 20 * ends, color=GREY, ls="--", lw=1.2)
    ax.set(xscale="log", yscale="log", xlabel="parameters N", ylabel="training tokens D")
    log_counts(ax.xaxis)
    log_counts(ax.yaxis)
    return figure


def predicted(suite: SuiteFit, rows: pd.DataFrame, tasks: list[str]) -> Figure:
    """Predicted against seen by the best law of each task."""
    figure, axes = _panels(tasks)
    for task, ax in axes.items():
        name, here = suite.best_law(task), rows[rows["task"] == task]
        seen, guess = _seen_and_predicted(suite, task, here)
        good = (seen > 0) & (guess > 0)
        color = law_row(name).color
        size = 16 if good.sum() < _FEW_DOTS else 6
        ax.scatter(seen[good], guess[good], size, color, alpha=0.5, lw=0, rasterized=True)
        ends = [seen[good].min(), seen[good].max()]
        ax.plot(ends, ends, color=GREY, lw=0.8, zorder=0)
        ax.set(xscale="log", yscale="log")
        for axis in (ax.xaxis, ax.yaxis):
            readable_ticks(axis)
    figure.supxlabel(f"{_metric_of(suite, tasks)}, seen", fontsize=10)
    figure.supylabel(f"{_metric_of(suite, tasks)}, predicted", fontsize=10)
    return figure


def _seen_and_predicted(
    suite: SuiteFit, task: str, rows: pd.DataFrame
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return what a task's best law is judged on, as seen and as it says."""
    name = suite.best_law(task)
    metric = judged_on(suite, task, name)
    guess = predict(suite.law(task, name), metric, rows)
    assert guess is not None  # a law has what it is judged on
    return rows[metric].to_numpy(), np.asarray(guess)


def readable_ticks(axis: Any) -> None:
    """Label a logarithmic axis by its limits: at powers of ten, at 1, 2, 5, or evenly."""
    low, high = axis.get_view_interval()
    if high < 1000 * low:  # else matplotlib's own powers of ten
        plain_ticks(axis)
    if high < 4 * low:  # there may be none of 1, 2, 5 between
        axis.set_major_locator(MaxNLocator(4))


def has_many_k(rows: pd.DataFrame) -> bool:
    """Tell whether residuals can be drawn against k; else :func:`residuals_by_size` draws them."""
    return bool(rows["k"].min() < rows["k"].max())


def residuals(suite: SuiteFit, rows: pd.DataFrame, tasks: list[str]) -> Figure:
    """Residuals of each law at each k, and their median."""
    figure, axes = _panels(tasks)
    handles: dict[str, Any] = {}
    for task, ax in axes.items():
        metric, here = METRIC[suite.task(task)["kind"]], rows[rows["task"] == task]
        guesses = {
            name: guess
            for name in suite.law_names(task)
            if (guess := predict(suite.law(task, name), metric, here)) is not None
        }
        for place, (name, guess) in enumerate(guesses.items()):
            off, color = here[metric] - guess, law_row(name).color
            middle = off.groupby(here["k"]).median()
            (handles[label(name)],) = ax.plot(middle.index, middle, color=color, zorder=2)
            # Each law's dots are in a column of their own.
            beside = here["k"] * 1.2 ** (place - (len(guesses) - 1) / 2)
            ax.plot(beside, off, ".", ms=4, mew=0, color=color, alpha=0.6, zorder=3)
        ax.axhline(0, color=GREY, lw=1)
        ax.set_xscale("log", base=2)
    figure.legend(handles.values(), handles, loc="outside upper center", ncols=2, fontsize=9)
    figure.supxlabel("samples per question k", fontsize=10)
    figure.supylabel(f"seen − predicted, {_metric_of(suite, tasks)}", fontsize=10)
    return figure


def residuals_by_size(suite: SuiteFit, rows: pd.DataFrame, tasks: list[str]) -> Figure:
    """Residuals of each task's best law at each N and D, as colour, where there is one k."""
    figure, axes = _panels(tasks)
    for task, ax in axes.items():
        here = rows[rows["task"] == task]
        seen, guess = _seen_and_predicted(suite, task, here)
        off = seen - guess
        most = np.abs(off).max() or 1.0
        scale = Normalize(-most, most)
        N, D = here["n_params"], here["n_tokens"]
        dots = ax.scatter(N, D, 28, off, cmap="RdBu_r", norm=scale, edgecolors=GREY, lw=0.5)
        bar = figure.colorbar(dots, ax=ax)
        bar.set_label("seen − predicted", fontsize=9)
        bar.ax.tick_params(labelsize=9)
        ax.set(xscale="log", yscale="log")
        log_counts(ax.xaxis)
        log_counts(ax.yaxis)
    figure.supxlabel("parameters N", fontsize=10)
    figure.supylabel("training tokens D", fontsize=10)
    return figure


def plans(suite: SuiteFit, tasks: list[str]) -> Figure:
    """What the best law and its resamples predict at each model size that spends the budgets."""
    figure, axes = _panels(tasks)
    for task, ax in axes.items():
        numbers, name = suite.task(task), suite.best_law(task)
        budget, ranges, color = numbers["budgets"], numbers["range"], law_row(name).color
        C = budget["train_flops"]
        law = suite.law(task, name)
        metric = metric_of(law)
        # From the smallest that was fitted, as for every plan that asks for no smaller one.
        ends = ranges["N"][0], min(3 * ranges["N"][1], budget["inference_flops"] / 2)
        if ends[0] >= ends[1]:
            ax.text(0.5, 0.5, "no sample is paid", ha="center", transform=ax.transAxes)
            continue
        sizes = np.geomspace(*ends, 40)
        for one in [*suite.law_draws(task, name)[:20], law]:
            line = isoflop_profile(one, **budget, N=sizes)
            ax.plot(sizes, line[metric], color=color, lw=0.6, alpha=0.25)
        ax.plot(sizes, line[metric], color=color, lw=2)  # the fit itself
        best = line[metric].argmax() if metric == "pass_at_k" else line[metric].argmin()
        ax.plot(sizes[best], line[metric].iloc[best], "o", color=RED, ms=6)
        with contextlib.suppress(ValueError):  # nothing fitted spends this budget
            ax.axvspan(*law.support.sizes(C), color=YELLOW, alpha=0.2, lw=0)
        ax.set(xscale="log")
        ax.set_ylabel(_SHORT[metric], fontsize=9)
        log_counts(ax.xaxis)
    figure.supxlabel("parameters N", fontsize=11)
    return figure
