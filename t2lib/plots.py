"""The book's one figure style, and the figures that more than one chapter draws."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from t2lib._checks import FloatArray
from t2lib.fitting.table import LAWS, law_row

if TYPE_CHECKING:
    import pandas as pd


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
# One colour and name for each law, in every chapter: those of the table of laws.
LAW_STYLE: dict[str, dict[str, Any]] = {
    name: {"color": row.color, "label": row.label} for name, row in LAWS.items()
}


def use_style() -> None:
    """Set the book's matplotlib and seaborn style for the session.

    In a notebook figures become SVG: sharp at every size, and the same bytes in every run. A PNG
    lies beside it, since JupyterLab shows no SVG of a notebook that was run elsewhere. They keep
    their white paper, so that they read on any page; the site blends it away.
    """
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
            "svg.fonttype": "path",  # the reader's system may lack the font
            "svg.hashsalt": "t2",  # the names of parts in a file do not change from run to run
        }
    )
    if "ipykernel" in sys.modules:
        from IPython import get_ipython
        from matplotlib_inline.backend_inline import set_matplotlib_formats

        set_matplotlib_formats()  # none of its own, each of which would lay the figure out anew
        get_ipython().display_formatter.mimebundle_formatter.for_type(Figure, _images)


def _images(fig: Figure) -> tuple[dict[str, str], dict[str, dict[str, int]]]:
    """Return a figure as SVG and PNG, with the PNG's size on the page."""
    from IPython.core.pylabtools import print_figure, retina_figure

    fig.draw_without_rendering()
    layout, box = fig.get_layout_engine(), fig.get_tightbbox()
    fig.set_layout_engine("none")
    # The dots per inch are those of pixels: of the PNG, and of clouds of thousands of dots.
    look = {"bbox_inches": box.padded(mpl.rcParams["savefig.pad_inches"]), "dpi": 192}
    svg = print_figure(fig, "svg", metadata={"Date": None}, **look)
    png, size = retina_figure(fig, base64=True, **look)
    fig.set_layout_engine(layout)
    return {"image/svg+xml": svg, "image/png": png}, {"image/png": size}


def engineering(value: float, _position: int | None = None) -> str:
    """Write a count with K, M, B or T: 70e6 becomes ``70M``; from 1e15 on as a power of ten."""
    if abs(value) >= 1e15:
        return f"{value:.0e}".replace("e+", "e")
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def scientific(value: float) -> str:
    """Write a number as a power of ten that reads in a table and a figure: ``2 × 10¹⁰``."""
    if value == 0:
        return "0"
    digits, power = f"{value:.2e}".split("e")
    raised = str(int(power)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"10{raised}" if float(digits) == 1 else f"{float(digits):g} × 10{raised}"


_SHORT_AXIS = 50  # times that its end is its beginning


def log_counts(axis: Any) -> None:
    """Label a logarithmic matplotlib axis with K, M, B and T; a short one at 2 and 5 too."""

    def between(value: float, _position: int | None = None) -> str:
        low, high = axis.get_view_interval()
        is_named = high < _SHORT_AXIS * low and f"{value:.0e}"[0] in "25"
        return engineering(value) if is_named else ""

    axis.set_major_formatter(FuncFormatter(engineering))
    axis.set_minor_formatter(FuncFormatter(between))


def plain_ticks(axis: Any) -> None:
    """Label a logarithmic matplotlib axis at 1, 2, 5, 10 and so on, without powers of ten."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def residual_panels(
    residuals: npt.ArrayLike, table: pd.DataFrame, *, unit: str, color: str = BLUE
) -> list[Axes]:
    """Draw residuals against k, N, D and tokens per parameter, with their medians.

    Parameters
    ----------
    residuals : array_like, shape (n,)
        Seen minus predicted.
    table : DataFrame, n rows
        Columns ``k``, ``n_params`` and ``n_tokens`` of the same rows.
    unit : str
        Unit of the residuals, for the vertical axes.
    color : str
        Colour of the dots.

    Returns
    -------
    list of four matplotlib Axes
    """
    r = np.asarray(residuals, dtype=float)
    against = {
        "samples k": table["k"],
        "parameters N": table["n_params"],
        "training tokens D": table["n_tokens"],
        "tokens per parameter": table["n_tokens"] / table["n_params"],
    }
    _, grid = plt.subplots(2, 2, figsize=(5.0, 5.4), sharey=True)
    for ax, (label, values) in zip(grid.flat, against.items(), strict=True):
        x = np.asarray(values, dtype=float)
        ax.scatter(x, r, s=6, alpha=0.25, color=color, linewidths=0, rasterized=True)
        middle, medians = _binned_medians(x, r)
        ax.plot(middle, medians, color="black", marker="o", ms=3, lw=1.2)
        ax.axhline(0, color=GREY, lw=1)
        ax.set(xscale="log", xlabel=label)
        if np.ptp(np.log10(x)) > 1.5 and x.max() > 1e3:
            log_counts(ax.xaxis)
    for ax in grid[:, 0]:
        ax.set_ylabel(f"seen − predicted ({unit})")
    return list(grid.flat)


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
    for axis in (ax.xaxis, ax.yaxis):
        plain_ticks(axis)
    return ax


def law_curves(
    laws: Mapping[str, Any],
    checkpoints: pd.DataFrame,
    k: npt.ArrayLike,
    *,
    metric: str = "pass_at_k",
    bands: Mapping[str, npt.ArrayLike] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw a metric of chosen checkpoints against k: dots as seen, a line for each law.

    With one law the colour tells the checkpoints apart; with several it tells the laws apart, and
    the marker the checkpoints.

    Parameters
    ----------
    laws : mapping of str to law
        Label to law.
    checkpoints : DataFrame
        Curves of a few checkpoints: ``n_params``, ``n_tokens``, ``k`` and the metric.
    k : array_like, shape (K,)
        Samples per question at which the laws are drawn.
    metric : {"pass_at_k", "neg_log_pass"}
        Column of the table and method of the laws.
    bands : mapping of str to array_like, shape (checkpoints, 2, K), optional
        Lower and upper end of a law's interval at each k, the checkpoints by rising N and D.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib Axes
    """
    ax = plt.figure().gca() if ax is None else ax
    k, alone = np.asarray(k, dtype=float), len(laws) == 1
    sizes = checkpoints[["n_params", "n_tokens"]].drop_duplicates()
    sizes = sizes.sort_values(["n_params", "n_tokens"])
    pairs = list(zip(sizes["n_params"].astype(float), sizes["n_tokens"].astype(float), strict=True))
    for row, (N, D) in enumerate(pairs):
        seen = checkpoints[(checkpoints["n_params"] == N) & (checkpoints["n_tokens"] == D)]
        own = COLORS[(row + 1) % len(COLORS)]
        dots: dict[str, Any] = {"color": own if alone else "black", "ms": 5}
        size = f"{engineering(N)}, {D / N:,.0f} tokens per parameter"
        ax.plot(seen["k"], seen[metric], "os^vDP"[row % 6], label=size, **dots)
    for label, law in laws.items():
        for row, (N, D) in enumerate(pairs):
            own = COLORS[(row + 1) % len(COLORS)]
            color = own if alone else law_row(law).color
            name = label if row == 0 and not alone else None
            ax.plot(k, getattr(law, metric)(N, D, k), color=color, label=name)
            if bands and label in bands:
                low, high = np.asarray(bands[label], dtype=float)[row]
                ax.fill_between(k, low, high, color=color, alpha=0.25, linewidth=0)
    ax.set(xscale="log", yscale="log", xlabel="samples per question k", ylabel=_name_of(metric))
    plain_ticks(ax.yaxis)
    return ax


def _name_of(metric: str) -> str:
    return "pass@k" if metric == "pass_at_k" else "mean −log pass@k (nats)"


def frontier_panels(
    frontiers: Mapping[str, pd.DataFrame],
    columns: Sequence[str] = ("N", "D", "tokens_per_parameter"),
    *,
    axes: Sequence[Axes] | None = None,
    styles: Mapping[str, dict[str, Any]] | None = None,
) -> list[Axes]:
    """Draw compute-optimal frontiers: each column against the training budget, a line a law.

    Parameters
    ----------
    frontiers : mapping of str to DataFrame
        Label to a table as made by ``t2lib.frontier`` (with ``train_flops`` and the columns).
    columns : sequence of str
        Which columns to draw, a panel each. A dashed line marks 20 tokens per parameter.
    axes : sequence of Axes, optional
        Where to draw, one a column; a new stack of panels by default.
    styles : mapping of str to dict, optional
        Line style of each label, passed to ``plot``.

    Returns
    -------
    list of matplotlib Axes
    """
    if axes is None:
        size = (5.6, 3.3 * len(columns))
        axes = list(plt.subplots(len(columns), 1, figsize=size, squeeze=False)[1].flat)
    names = {
        "N": "parameters N",
        "D": "training tokens D",
        "k": "samples per question k",
        "tokens_per_parameter": "tokens per parameter D / N",
    }
    for ax, column in zip(axes, columns, strict=True):
        for label, table in frontiers.items():
            style = {"label": label} | (styles or {}).get(label, {})
            ax.plot(table["train_flops"], table[column], **style)
        ax.set(xscale="log", yscale="log", xlabel="training compute C (FLOPs)")
        ax.set_ylabel(names.get(column, column))
        if column in ("N", "D"):
            log_counts(ax.yaxis)
        if column == "tokens_per_parameter":
            ax.axhline(20, color=RED, ls="--", lw=1)
    return list(axes)


def isoflop_profiles(
    law: Any,
    train_flops: npt.ArrayLike,
    N: npt.ArrayLike,
    *,
    inference_flops: float | None = None,
    metric: str = "pass_at_k",
    chinchilla: Any | None = None,
    seen: pd.DataFrame | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw a law's metric against model size at equal training compute, with both frontiers.

    Parameters
    ----------
    law : law
        Any law that :func:`t2lib.isoflop_profile` takes.
    train_flops : array_like, shape (budgets,)
        Training budgets in FLOPs, a line each, labelled for a legend.
    N : array_like, shape (sizes,)
        Model sizes to draw; the law's optimum is sought between the smallest and the largest.
        Circles joined by a solid line mark it.
    inference_flops : float, optional
        Inference budget in FLOPs per token, k = C_inf / 2N; one sample by default.
    metric : {"pass_at_k", "neg_log_pass"}
        Method of the law to draw.
    chinchilla : Chinchilla, optional
        Law whose optimum is marked on each line: squares joined by a dashed line. Left out where
        it lies outside N.
    seen : DataFrame, optional
        Trained models at these budgets, drawn as dots: ``train_flops``, ``n_params`` and the
        metric.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib Axes
    """
    from t2lib.planning.forward import frontier, isoflop_profile

    ax = plt.figure().gca() if ax is None else ax
    budgets, sizes = np.sort(np.atleast_1d(train_flops)), np.sort(np.asarray(N, dtype=float))
    if inference_flops is not None:
        sizes = sizes[sizes <= inference_flops / 2]  # a larger model cannot answer once
    shared: dict[str, Any] = {"inference_flops": inference_flops, "metric": metric}
    colors = plt.get_cmap("viridis")(np.linspace(0, 0.9, len(budgets)))
    for color, C in zip(colors, budgets, strict=True):
        line = isoflop_profile(law, train_flops=C, N=sizes, **shared)
        ax.plot(line["N"], line[metric], color=color, lw=1.2, label=f"{C:.2g} FLOPs")
        if seen is not None:
            dots = seen[np.isclose(seen["train_flops"], C)]
            ax.plot(dots["n_params"], dots[metric], ".", color=color, ms=6)
    best = frontier(law, train_flops=budgets, n_range=(sizes[0], sizes[-1]), **shared)
    marks: list[tuple[Any, pd.DataFrame, dict[str, Any]]]
    marks = [(budgets, best, {"marker": "o", "ls": "-"})]
    if chinchilla is not None:
        advised = np.array([float(chinchilla.optimum(C)[0]) for C in budgets])
        inside = (advised >= sizes[0]) & (advised <= sizes[-1])
        if inside.any():
            there = isoflop_profile(law, train_flops=budgets[inside], N=advised[inside], **shared)
            marks.append((budgets[inside], there, {"marker": "s", "ls": "--"}))
    for at, table, style in marks:
        of_budget = colors[np.searchsorted(budgets, at)]
        ax.plot(table["N"], table[metric], color="black", lw=1, **style, mfc="none", ms=8)
        ax.scatter(table["N"], table[metric], s=16, c=of_budget, zorder=3)
    ax.set(xscale="log", yscale="log", xlabel="parameters N", ylabel=_name_of(metric))
    log_counts(ax.xaxis)
    plain_ticks(ax.yaxis)
    return ax


def fitted_parabolas(
    parabolas: pd.DataFrame, dots: pd.DataFrame, *, ax: Axes | None = None
) -> Axes:
    """Draw runs of equal compute with a parabola through each budget's, and its minimum.

    Parameters
    ----------
    parabolas : DataFrame
        From ``t2lib.isoflop_parabolas``. A diamond marks the minimum where it is ``inside``.
    dots : DataFrame
        The runs, seen from their budget's minimum: ``train_flops``, ``size_ratio`` (to the best
        size) and ``excess`` (loss above the least, nats).
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib Axes
        With a colour bar of the budgets.
    """
    figure = plt.figure(figsize=(5.4, 5.0)) if ax is None else ax.figure
    ax = figure.gca() if ax is None else ax
    ends = mpl.colors.LogNorm(parabolas["train_flops"].min(), 2 * parabolas["train_flops"].max())
    scale = mpl.cm.ScalarMappable(ends, "viridis")
    for row in parabolas.to_dict("records"):
        color, best = scale.to_rgba(row["train_flops"]), row["N"]
        ratio = np.geomspace(row["N_min"], row["N_max"], 60) / best
        line = row["loss"] + row["curvature"] * np.log(ratio) ** 2
        ax.plot(best * ratio, line, color=color, lw=1)
        seen = dots[np.isclose(dots["train_flops"], row["train_flops"])]
        ax.plot(best * seen["size_ratio"], row["loss"] + seen["excess"], "o", color=color, ms=4)
        if row["inside"]:
            ax.plot(best, row["loss"], "D", color=color, mec="black", ms=6)
    ax.set(xscale="log", xlabel="parameters N", ylabel="loss (nats per token)")
    log_counts(ax.xaxis)
    figure.colorbar(scale, ax=ax, label="training compute C (FLOPs)")
    return ax


def interval_rows(
    estimates: Mapping[str, pd.DataFrame],
    *,
    colors: Mapping[str, str],
    ax: Axes | None = None,
) -> Axes:
    """Draw values with their intervals: a row for each index label, a colour for each series.

    Parameters
    ----------
    estimates : mapping of str to DataFrame
        Label of a series to its table: columns ``value``, ``low``, ``high``; all tables have the
        same index, drawn from top to bottom.
    colors : mapping of str to str
        Colour of each series.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib Axes
        The horizontal axis is left to the caller.
    """
    ax = plt.figure().gca() if ax is None else ax
    shifts = 0.6 * (np.arange(len(estimates)) - (len(estimates) - 1) / 2) / len(estimates)
    for shift, (label, table) in zip(shifts, estimates.items(), strict=True):
        rows = np.arange(len(table)) + shift
        ax.hlines(rows, table["low"], table["high"], color=colors[label])
        ax.plot(table["value"], rows, "o", ms=4, color=colors[label], label=label)
    ax.set_yticks(range(len(table)), list(table.index))
    ax.set_ylim(len(table) - 0.5, -0.5)
    return ax


def errors_by_ratio(errors: pd.DataFrame, *, cut: float, ax: Axes | None = None) -> Axes:
    """Draw forecast errors against tokens per parameter, a line for each model.

    Parameters
    ----------
    errors : DataFrame, a row a checkpoint
        ``model``, ``n_params``, ``n_tokens`` and ``error`` in decades: log10 of predicted over
        seen.
    cut : float
        Tokens per parameter at which a dashed line is drawn.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib Axes
    """
    ax = plt.figure().gca() if ax is None else ax
    models = errors.groupby("model")["n_params"].first().sort_values()
    colors = plt.get_cmap("viridis")(np.linspace(0, 0.95, len(models)))
    for (model, N), color in zip(models.items(), colors, strict=True):
        run = errors[errors["model"] == model].sort_values("n_tokens")
        ratio = run["n_tokens"] / N
        ax.plot(ratio, run["error"], "o-", ms=5, lw=1, color=color, label=engineering(N))
    ax.axhline(0, color="black", lw=1)
    ax.axvline(cut, color=RED, ls="--", lw=1)
    ax.set(xscale="log", xlabel="tokens per parameter D / N")
    ax.set_ylabel("log₁₀ predicted / seen\n(decades)")
    log_counts(ax.xaxis)
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
        From :func:`~t2lib.studies.specification_curve.specifications`; rows without the number
        are left out.
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
    height = 0.27 * len(marks) + 0.1 * len(choices)
    figure = plt.figure(figsize=(4.9, 3.2 + height)) if figure is None else figure
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3.0, height])
    colors = table["law"].map(lambda law: law_row(law).color)
    order = np.arange(1, len(table) + 1)
    above.scatter(order, table[column], c=colors, s=9, linewidths=0)
    for law in dict.fromkeys(table["law"]):
        row = law_row(law)
        above.plot([], [], "o", ms=4, color=row.color, label=row.label)
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
    below.set_yticks(places, names, fontsize="small")
    below.set(xlabel="specification, in order of the value", ylabel="choice", xlim=(0, None))
    below.invert_yaxis()
    below.grid(visible=False)
    return figure
