"""The table of laws: the one place where they are listed, and :func:`fit` for any of them.

A new law is a class in :mod:`t2lib.laws`, a fit, and a row here. The command, the studies and the
plots read this table.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, Literal

import pandas as pd

from t2lib._checks import DataError
from t2lib.fitting.batches import AdditiveRefit, ChinchillaRefit
from t2lib.fitting.beta import (
    fit_beta_consistent,
    fit_beta_consistent_counts,
    fit_beta_regression,
    fit_beta_regression_counts,
)
from t2lib.fitting.inflated import fit_zero_inflated_counts
from t2lib.fitting.powers import (
    fit_additive,
    fit_at_each_k,
    fit_chinchilla,
    fit_interaction,
)
from t2lib.fitting.result import Fit
from t2lib.fitting.tied import fit_loss_tied, fit_product, fit_scores
from t2lib.laws import (
    AdditiveLaw,
    BetaConsistentLaw,
    BetaRegressionLaw,
    Chinchilla,
    InteractionLaw,
    KumaraswamyLaw,
    Law,
    LawsAtEachK,
    LogitNormalLaw,
    LogNormalLaw,
    LossTiedLaw,
    ProductLaw,
    ZeroInflatedLaw,
)
from t2lib.planning.objective import metric_of
from t2lib.planning.support import Support

Kind = Literal["likelihoods", "samples"]
_SIZES = ("n_params", "n_tokens")
_COUNTS = (*_SIZES, "n_samples", "n_correct")


@dataclass(frozen=True)
class LawRow:
    """A row of the table of laws.

    Attributes
    ----------
    law : type
        The law's class.
    label, color : str
        How figures and tables name and draw it.
    columns : tuple of str
        Columns of a curve table that the fit reads. ``mean_nll`` may be called ``loss``.
    fit : callable
        ``fit(table, start=None, **options)`` returns a :class:`Fit`.
    fit_counts : callable, optional
        The same for a question table with ``n_samples`` and ``n_correct``.
    batch : callable, optional
        Returns a fit function for the bootstrap that fits many resamples side by side.
    default_for : tuple of {"likelihoods", "samples"}
        Kinds of task that it is fitted to unless told otherwise.
    named : bool
        Whether it can be made from named numbers (:func:`law_of`).
    """

    law: type[Law]
    label: str
    color: str
    columns: tuple[str, ...]
    fit: Callable[..., Fit]
    fit_counts: Callable[..., Fit] | None = None
    batch: Callable[[], Any] | None = None
    default_for: tuple[Kind, ...] = ()
    named: bool = True


# ---------------------------------------------------------------------- a table's columns to a fit


def _columns(table: pd.DataFrame, names: tuple[str, ...]) -> list[pd.Series]:
    return [table[name] for name in names]


def _chinchilla(table: pd.DataFrame, start: Any = None, **options: Any) -> Fit:
    one = table[table["k"] == table["k"].min()] if "k" in table else table
    return fit_chinchilla(*_columns(one, (*_SIZES, "mean_nll")), **options)


def _additive(table: pd.DataFrame, start: Any = None, **options: Any) -> Fit:
    return fit_additive(*_columns(table, (*_SIZES, "k", "neg_log_pass")), **options)


def _product(table: pd.DataFrame, start: Any = None, **options: Any) -> Fit:
    return fit_product(*_columns(table, (*_SIZES, "k", "neg_log_pass")), **options)


def _loss_tied(table: pd.DataFrame, start: Any = None, **options: Any) -> Fit:
    columns = _columns(table, (*_SIZES, "k", "neg_log_pass"))
    return fit_loss_tied(*columns, loss=table["mean_nll"], start=start, **options)


def _interaction(table: pd.DataFrame, start: Any = None, **options: Any) -> Fit:
    # Its double logarithm needs a share that is neither 0 nor 1.
    rows = table[(table["pass_at_k"] > 0) & (table["pass_at_k"] < 1)]
    if rows.empty:
        raise ValueError("pass_at_k is 0 or 1 in every row: there is nothing to fit")
    return fit_interaction(*_columns(rows, (*_SIZES, "k", "pass_at_k")), **options)


def _at_each_k(table: pd.DataFrame, start: Any = None, **options: Any) -> Fit:
    return fit_at_each_k(*_columns(table, (*_SIZES, "k", "pass_at_k")), **options)


def _curves(function: Callable[..., Fit]) -> Callable[..., Fit]:
    def fitted(table: pd.DataFrame, start: Any = None, **options: Any) -> Fit:
        columns = _columns(table, (*_SIZES, "k", "pass_at_k"))
        return function(*columns, loss=table["mean_nll"], start=start, **options)

    return fitted


def _counts(function: Callable[..., Fit]) -> Callable[..., Fit]:
    def fitted(table: pd.DataFrame, start: Any = None, **options: Any) -> Fit:
        return function(*_columns(table, _COUNTS), start=start, **options)

    return fitted


LAWS: dict[str, LawRow] = {
    row.law.__name__: row
    for row in (
        LawRow(
            Chinchilla,
            "Chinchilla",
            "#666666",
            columns=(*_SIZES, "mean_nll"),
            fit=_chinchilla,
            batch=lambda: ChinchillaRefit(loss="mean_nll"),
            default_for=("likelihoods",),
        ),
        LawRow(
            AdditiveLaw,
            "additive (approach 1)",
            "#E69F00",
            columns=(*_SIZES, "k", "neg_log_pass"),
            fit=_additive,
            batch=AdditiveRefit,
            default_for=("likelihoods",),
        ),
        LawRow(
            InteractionLaw,
            "interaction (Krajewski et al.)",
            "#CC79A7",
            columns=(*_SIZES, "k", "pass_at_k"),
            fit=_interaction,
            default_for=("samples",),
        ),
        LawRow(
            BetaRegressionLaw,
            "Beta regression (approach 2)",
            "#0072B2",
            columns=(*_SIZES, "k", "pass_at_k", "mean_nll"),
            fit=_curves(fit_beta_regression),
            fit_counts=_counts(fit_beta_regression_counts),
            default_for=("likelihoods", "samples"),
        ),
        LawRow(
            BetaConsistentLaw,
            "Beta-consistent (this book)",
            "#009E73",
            columns=(*_SIZES, "k", "pass_at_k", "mean_nll"),
            fit=_curves(fit_beta_consistent),
            fit_counts=_counts(fit_beta_consistent_counts),
            default_for=("likelihoods", "samples"),
        ),
        LawRow(
            LawsAtEachK,
            "each k apart (Schaeffer et al.)",
            "#D55E00",
            columns=(*_SIZES, "k", "pass_at_k"),
            fit=_at_each_k,
            named=False,
        ),
        LawRow(
            ProductLaw,
            "product",
            "#56B4E9",
            columns=(*_SIZES, "k", "neg_log_pass"),
            fit=_product,
        ),
        LawRow(
            LossTiedLaw,
            "power tied to the loss",
            "#B8A800",
            columns=(*_SIZES, "k", "neg_log_pass", "mean_nll"),
            fit=_loss_tied,
        ),
        LawRow(
            KumaraswamyLaw,
            "Kumaraswamy, tied to the loss",
            "#7A3E9D",
            columns=(*_SIZES, "k", "pass_at_k", "mean_nll"),
            fit=_curves(partial(fit_scores, KumaraswamyLaw)),
        ),
        LawRow(
            LogNormalLaw,
            "log-normal NLL, tied to the loss",
            "#8C564B",
            columns=(*_SIZES, "k", "pass_at_k", "mean_nll"),
            fit=_curves(partial(fit_scores, LogNormalLaw)),
        ),
        LawRow(
            LogitNormalLaw,
            "logit-normal, tied to the loss",
            "#A63D57",
            columns=(*_SIZES, "k", "pass_at_k", "mean_nll"),
            fit=_curves(partial(fit_scores, LogitNormalLaw)),
        ),
        LawRow(
            ZeroInflatedLaw,
            "Beta-consistent, some never solved",
            "#1B7F5C",
            columns=_COUNTS,
            fit=_counts(fit_zero_inflated_counts),
            fit_counts=_counts(fit_zero_inflated_counts),
        ),
    )
}


def law_row(kind: object) -> LawRow:
    """Return the table's row of a law, its class, or the name of its class.

    Raises
    ------
    ValueError
        Where the table has no such law.
    """
    name = kind if isinstance(kind, str) else getattr(kind, "__name__", type(kind).__name__)
    if name not in LAWS:
        raise ValueError(f"no law named {name!r}: must be one of {', '.join(LAWS)}")
    return LAWS[name]


def fit(name: str, table: pd.DataFrame, *, start: Any = None, **options: Any) -> Fit:
    """Fit any law of the table of laws to a table's rows.

    Parameters
    ----------
    name : str
        Class name of the law, a key of ``t2.LAWS``.
    table : DataFrame
        Rows of one task: a curve table (``n_params, n_tokens, k, pass_at_k, neg_log_pass,
        mean_nll``; the law's row says which it reads; ``loss`` stands in for ``mean_nll``), or for
        the Beta laws a question table with ``n_samples`` and ``n_correct``, which is fitted by
        maximum likelihood.
    start : law, optional
        Where a Beta law's search may start; the others need none.
    **options
        As the law's own fitting function takes them, such as ``objective="huber_log"``.

    Returns
    -------
    Fit

    Raises
    ------
    ValueError
        For an unknown law, and as the law's fitting function.
    DataError
        Where the table lacks a column.

    Examples
    --------
    >>> import t2lib as t2
    >>> curves = t2.load_curves("gemstones")
    >>> arc = curves[(curves["task"] == "arce") & (curves["k"] <= 256)]
    >>> t2.fit("AdditiveLaw", arc).n_rows
    6930
    """
    row = law_row(name)
    if "loss" in table and "mean_nll" not in table:
        table = table.rename(columns={"loss": "mean_nll"})
    by_counts = row.fit_counts is not None and "n_correct" in table
    columns = _COUNTS if by_counts else row.columns
    for column in columns:
        if column not in table:
            raise DataError(f"{name} needs a column {column}: there are {', '.join(table.columns)}")
    function = row.fit_counts if row.fit_counts is not None and by_counts else row.fit
    found = function(table, start=start, **options)
    if found.fitted is None:  # a fit of one's own need not know of supports
        found = replace(found, fitted=Support.of(table, metric_of(found.law)))
    return found


# ---------------------------------------------------------------------- laws of named parameters


def parameter_names(kind: object) -> tuple[str, ...]:
    """Name a law's parameters as ``Fit.params`` and a bootstrap's columns do.

    Parameters
    ----------
    kind : a law, its class, or the name of its class

    Returns
    -------
    tuple of str
        Those of the Chinchilla law within first; the five of ``theta`` as theta0 to theta4.

    Raises
    ------
    ValueError
        For a law that has no such names.
    """
    within = {"chinchilla": _names_of(Chinchilla), "theta": [f"theta{i}" for i in range(5)]}
    names = [within.get(name, [name]) for name in _names_of(_named(kind))]
    return tuple(itertools.chain(*names))


def law_of(kind: object, params: Mapping[Any, float]) -> Any:
    """Make a law from a fit's parameters: ``Fit.params``, or a row of a bootstrap.

    Parameters
    ----------
    kind : a law, its class, or the name of its class
    params : mapping of str to float
        The law's parameters, no more and no fewer; see
        :func:`~t2lib.fitting.table.parameter_names`.

    Returns
    -------
    a law of that kind

    Raises
    ------
    ValueError
        For a law that has no named parameters, a name that is missing or unknown, or a value that
        is out of the law's range.

    Examples
    --------
    >>> law_of("Chinchilla", {"E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.34, "beta": 0.28})
    Chinchilla(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28)
    """
    make: Any = _named(kind)
    names = parameter_names(kind)
    for name in (*names, *params):
        if name not in params or name not in names:
            what = "unknown" if name in params else "missing"
            raise ValueError(f"{make.__name__}: parameter {name!r} is {what}")
    values = {name: float(params[name]) for name in names}
    made: dict[str, Any] = {}
    for name in _names_of(make):
        if name == "chinchilla":
            made[name] = Chinchilla(**{inner: values[inner] for inner in _names_of(Chinchilla)})
        elif name == "theta":
            made[name] = tuple(values[f"theta{i}"] for i in range(5))
        else:
            made[name] = values[name]
    return make(**made)


def _named(kind: object) -> type[Law]:
    row = law_row(kind)
    if not row.named:
        raise ValueError(f"{row.law.__name__} cannot be made from named parameters")
    return row.law


def _names_of(kind: Any) -> list[str]:
    return [field.name for field in fields(kind) if field.init and field.compare]
