"""The book's one figure style, and the figures that more than one chapter draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

FloatArray = npt.NDArray[np.float64]

# Okabe and Ito's colours, told apart by all common kinds of colour vision.
BLUE, ORANGE, GREEN, RED, PURPLE, SKY, YELLOW, GREY = COLORS = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#CC79A7",
    "#56B4E9",
    "#B8A800",
    "#666666",
)
# One colour and name for each law, in every chapter.
LAW_STYLE: dict[str, dict[str, Any]] = {
    "Chinchilla": {"color": GREY, "label": "Chinchilla"},
    "AdditiveLaw": {"color": ORANGE, "label": "additive (approach 1)"},
    "BetaRegressionLaw": {"color": BLUE, "label": "Beta regression (approach 2)"},
    "BetaConsistentLaw": {"color": GREEN, "label": "Beta-consistent (this book)"},
    "InteractionLaw": {"color": PURPLE, "label": "interaction (Krajewski et al.)"},
    "LawsAtEachK": {"color": RED, "label": "each k apart (Schaeffer et al.)"},
}


def use_style() -> None:
    """Set the book's matplotlib and seaborn style for the session."""
    import seaborn as sns

    sns.set_theme(context="notebook", style="ticks", palette=list(COLORS), font_scale=1.1)
    mpl.rcParams.update(
        {
            "figure.figsize": (5.4, 3.8),
            "figure.dpi": 110,
            "savefig.dpi": 160,
            "figure.constrained_layout.use": True,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.alpha": 0.25,
            "axes.axisbelow": True,
            "axes.titlesize": "medium",
            "legend.frameon": False,
            "legend.fontsize": "small",
            "font.family": "DejaVu Sans",
            "lines.linewidth": 1.8,
            "svg.fonttype": "none",
        }
    )


def engineering(value: float, _position: int | None = None) -> str:
    """Write a count with K, M, B or T: 70e6 becomes ``70M``."""
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def log_counts(axis: Any) -> None:
    """Label a logarithmic matplotlib axis with K, M, B and T."""
    axis.set_major_formatter(FuncFormatter(engineering))


def residual_panels(
    residuals: npt.ArrayLike,
    against: dict[str, npt.ArrayLike],
    *,
    unit: str,
    axes: Sequence[Axes] | None = None,
    **style: Any,
) -> Sequence[Axes]:
    """Draw residuals against several variables, each on a logarithmic axis, with their medians.

    Parameters
    ----------
    residuals : array_like, shape (n,)
        Observed minus predicted.
    against : dict of str to array_like, shape (n,)
        Label and positive values of each horizontal axis.
    unit : str
        Unit of the residuals, for the vertical axis.
    axes : sequence of Axes, optional
        Where to draw; a new row of panels by default.
    **style
        Passed to ``scatter``; ``color`` also rules the line of medians.

    Returns
    -------
    sequence of matplotlib Axes
    """
    r = np.asarray(residuals, dtype=float)
    if axes is None:
        _, grid = plt.subplots(
            1, len(against), figsize=(3.2 * len(against), 3.2), sharey=True, squeeze=False
        )
        axes = list(grid[0])
    color = style.pop("color", BLUE)
    for ax, (label, values) in zip(axes, against.items(), strict=True):
        x = np.asarray(values, dtype=float)
        ax.scatter(x, r, s=6, alpha=0.25, color=color, linewidths=0, rasterized=True, **style)
        middle, medians = _binned_medians(x, r)
        ax.plot(middle, medians, color="black", marker="o", ms=3, lw=1.2)
        ax.axhline(0, color=GREY, lw=1)
        ax.set(xscale="log", xlabel=label)
        if np.ptp(np.log10(x)) > 1.5 and x.max() > 1e3:
            log_counts(ax.xaxis)
    axes[0].set_ylabel(f"observed - predicted ({unit})")
    return axes


def _binned_medians(x: FloatArray, y: FloatArray, bins: int = 9) -> tuple[FloatArray, FloatArray]:
    levels = np.unique(x)
    if len(levels) <= bins + 3:
        return levels, np.array([np.median(y[x == level]) for level in levels])
    edges = np.geomspace(x.min(), x.max() * (1 + 1e-9), bins + 1)
    cell = np.digitize(x, edges) - 1
    used = [i for i in range(bins) if (cell == i).any()]
    middle = np.sqrt(edges[:-1] * edges[1:])[used]
    return middle, np.array([np.median(y[cell == i]) for i in used])


def predicted_against_seen(
    seen: npt.ArrayLike,
    predicted: npt.ArrayLike,
    *,
    held_out: npt.ArrayLike | None = None,
    label: str = "pass@k",
    ax: Axes | None = None,
    color: str = BLUE,
) -> Axes:
    """Scatter predictions against observations on logarithmic axes with the line of equality.

    Parameters
    ----------
    seen, predicted : array_like, shape (n,)
        Positive values.
    held_out : array_like of bool, shape (n,), optional
        Rows that the fit did not see, drawn in another colour.
    label : str
        Quantity and unit, for both axes.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.
    color : str
        Colour of the rows that were fitted.

    Returns
    -------
    matplotlib Axes
    """
    ax = plt.figure(figsize=(4.4, 4.2)).gca() if ax is None else ax
    x, y = np.asarray(seen, dtype=float), np.asarray(predicted, dtype=float)
    out = np.zeros(len(x), bool) if held_out is None else np.asarray(held_out, bool)
    ax.scatter(
        x[~out],
        y[~out],
        s=7,
        alpha=0.35,
        color=color,
        linewidths=0,
        label="fitted",
        rasterized=True,
    )
    if out.any():
        ax.scatter(
            x[out],
            y[out],
            s=7,
            alpha=0.35,
            color=RED,
            linewidths=0,
            label="held out",
            rasterized=True,
        )
        ax.legend(markerscale=2.5)
    both = np.concatenate([x[x > 0], y[y > 0]])
    ends = [both.min(), both.max()]
    ax.plot(ends, ends, color="black", lw=1)
    ax.set(xscale="log", yscale="log", xlabel=f"{label}, seen", ylabel=f"{label}, predicted")
    return ax


def law_curves(
    laws: dict[str, Any],
    N: float,
    D: float,
    k: npt.ArrayLike,
    *,
    metric: str = "pass_at_k",
    ax: Axes | None = None,
    bands: dict[str, tuple[FloatArray, FloatArray]] | None = None,
) -> Axes:
    """Draw a metric of one checkpoint size against k, a line for each law.

    Parameters
    ----------
    laws : dict of str to law
        Label to law; each law's colour comes from its class.
    N, D : float
        Parameters and training tokens.
    k : array_like, shape (K,)
        Samples per question.
    metric : {"pass_at_k", "neg_log_pass"}
        Method of the laws to draw.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.
    bands : dict of str to (low, high), optional
        Interval of a law's line at each k, drawn as a band.

    Returns
    -------
    matplotlib Axes
    """
    ax = plt.figure().gca() if ax is None else ax
    k = np.asarray(k, dtype=float)
    for label, law in laws.items():
        color = LAW_STYLE.get(type(law).__name__, {}).get("color", GREY)
        ax.plot(k, getattr(law, metric)(N, D, k), color=color, label=label)
        if bands and label in bands:
            ax.fill_between(k, *bands[label], color=color, alpha=0.18, linewidth=0)
    name = "pass@k" if metric == "pass_at_k" else "mean -log pass@k (nats)"
    ax.set(xscale="log", yscale="log", xlabel="samples per question k", ylabel=name)
    return ax


def frontier_panels(
    frontiers: dict[str, Any],
    columns: Sequence[str] = ("N", "D", "tokens_per_parameter"),
    *,
    figure: Figure | None = None,
    styles: dict[str, dict[str, Any]] | None = None,
) -> Figure:
    """Draw compute-optimal frontiers: each column against the training budget, a line a law.

    Parameters
    ----------
    frontiers : dict of str to DataFrame
        Label to a table as made by ``t2lib.frontier`` (with ``train_flops`` and the columns).
    columns : sequence of str
        Which columns to draw, a panel each.
    figure : matplotlib Figure, optional
        Where to draw; a new one by default.
    styles : dict of str to dict, optional
        Line style of each label, passed to ``plot``.

    Returns
    -------
    matplotlib Figure
    """
    figure = plt.figure(figsize=(3.6 * len(columns), 3.6)) if figure is None else figure
    axes = figure.subplots(1, len(columns), squeeze=False)[0]
    names = {
        "N": "parameters N",
        "D": "training tokens D",
        "k": "samples k",
        "tokens_per_parameter": "tokens per parameter D / N",
    }
    for ax, column in zip(axes, columns, strict=True):
        for label, table in frontiers.items():
            ax.plot(
                table["train_flops"], table[column], label=label, **(styles or {}).get(label, {})
            )
        ax.set(
            xscale="log",
            yscale="log",
            xlabel="training compute C (FLOPs)",
            ylabel=names.get(column, column),
        )
        if column in ("N", "D"):
            log_counts(ax.yaxis)
    if "tokens_per_parameter" in columns:
        axes[list(columns).index("tokens_per_parameter")].axhline(20, color=RED, ls="--", lw=1)
    axes[0].legend()
    return figure


def isoflop_profiles(
    law: Any,
    train_flops: npt.ArrayLike,
    N: npt.ArrayLike,
    *,
    inference_flops: float | None = None,
    metric: str = "pass_at_k",
    chinchilla: Any | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw a law's metric against model size at equal training compute, with both frontiers.

    Parameters
    ----------
    law : law
        Any law that :func:`t2lib.isoflop_profile` takes.
    train_flops : array_like, shape (budgets,)
        Training budgets in FLOPs, a line each.
    N : array_like, shape (sizes,)
        Model sizes to draw; the law's optimum is sought between the smallest and the largest.
    inference_flops : float, optional
        Inference budget in FLOPs per token, k = C_inf / 2N; one sample by default.
    metric : {"pass_at_k", "neg_log_pass"}
        Method of the law to draw.
    chinchilla : Chinchilla, optional
        Law whose optimum is marked on each line with a square; left out where it lies outside N.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib Axes
    """
    from t2lib.allocate import frontier, isoflop_profile

    ax = plt.figure().gca() if ax is None else ax
    budgets, sizes = np.sort(np.atleast_1d(train_flops)), np.sort(np.asarray(N, dtype=float))
    if inference_flops is not None:
        sizes = sizes[sizes <= inference_flops / 2]  # a larger model cannot answer once
    shared: dict[str, Any] = {"inference_flops": inference_flops, "metric": metric}
    colors = plt.get_cmap("viridis")(np.linspace(0, 0.9, len(budgets)))
    best = frontier(law, train_flops=budgets, n_range=(sizes[0], sizes[-1]), **shared)
    for color, C, N_best, value in zip(colors, budgets, best["N"], best[metric], strict=True):
        line = isoflop_profile(law, train_flops=C, N=sizes, **shared)
        ax.plot(line["N"], line[metric], color=color, label=f"{C:.1e} FLOPs")
        ax.plot(N_best, value, "o", color=color, ms=8)
        if chinchilla is not None and sizes[0] <= chinchilla.optimum(C)[0] <= sizes[-1]:
            advised = float(chinchilla.optimum(C)[0])
            there = isoflop_profile(law, train_flops=C, N=advised, **shared)
            ax.plot(advised, there[metric].iloc[0], "s", color=color, mfc="none", ms=9)
    name = "pass@k" if metric == "pass_at_k" else "mean -log pass@k (nats)"
    ax.set(xscale="log", yscale="log", xlabel="parameters N", ylabel=name)
    log_counts(ax.xaxis)
    ax.legend(title="training compute C")
    return ax


def specification_curve(
    found: Any,
    column: str,
    choices: Sequence[str],
    *,
    label: str | None = None,
    reference: float | None = None,
    figure: Figure | None = None,
) -> Figure:
    """Draw a number over all specifications in order, and under it which choices were made.

    Parameters
    ----------
    found : DataFrame
        From ``t2lib.specifications``; rows without the number are left out.
    column : str
        Positive number to draw, on a logarithmic axis.
    choices : sequence of str
        Columns of choices to show; ``law`` also rules the colours.
    label : str, optional
        Quantity and unit, for the vertical axis; the column's name by default.
    reference : float, optional
        Value at which a line is drawn.
    figure : matplotlib Figure, optional
        Where to draw; a new one by default.

    Returns
    -------
    matplotlib Figure
    """
    table = found[found[column] > 0].sort_values(column, kind="stable")
    marks = [(c, level) for c in choices for level in dict.fromkeys(found[c].astype(str))]
    height = 0.24 * len(marks) + 0.1 * len(choices)
    figure = plt.figure(figsize=(5.6, 3.2 + height)) if figure is None else figure
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3.0, height])
    colors = table["law"].map(lambda law: LAW_STYLE[law]["color"])
    order = np.arange(1, len(table) + 1)
    above.scatter(order, table[column], c=colors, s=9, linewidths=0)
    for law in dict.fromkeys(table["law"]):
        style = LAW_STYLE[law]
        above.plot([], [], "o", ms=4, color=style["color"], label=style["label"])
    if reference is not None:
        above.axhline(reference, color="black", ls="--", lw=1)
    above.set(yscale="log", ylabel=label or column)
    figure.legend(*above.get_legend_handles_labels(), loc="outside upper center", ncols=1)
    places, place = [], 0.0
    for i, (choice, level) in enumerate(marks):
        if i and choice != marks[i - 1][0]:
            place += 0.4
        here = (table[choice].astype(str) == level).to_numpy()
        below.scatter(order[here], np.full(here.sum(), place), c=colors[here], s=5, marker="|")
        places.append(place)
        place += 1
    names = [f"{choice}: {level}".replace("_", " ") for choice, level in marks]
    below.set_yticks(places, names, fontsize="x-small")
    below.set(xlabel="specification, in order of the value", ylabel="choice", xlim=(0, None))
    below.invert_yaxis()
    below.grid(visible=False)
    return figure
