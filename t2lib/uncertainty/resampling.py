"""Resampling: bootstrap and jackknife over models, checkpoints or rows, and their intervals.

Checkpoints of one training run are not independent, so what is drawn is a group of rows that
travel together. Nothing here knows which law is fitted: a fit turns a table into numbers.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
from scipy import special
from tqdm import tqdm

from t2lib import _parallel as parallel
from t2lib._checks import IntArray

FitFunction = Callable[[pd.DataFrame], Any]

_GROUPS = {"model": ["model"], "checkpoint": ["model", "n_tokens"]}
# A progress bar appears after this many seconds, and only on a terminal.
_LONG_RUN = 5.0
# Resamples fitted between two looks at the clock, and sent to a worker at a time.
_AT_ONCE = 64


def bootstrap(
    fit_function: FitFunction,
    table: pd.DataFrame,
    *,
    n: int,
    seed: int,
    by: str | Sequence[str] = "checkpoint",
    stratify: str | Sequence[str] | None = None,
    n_jobs: int | None = None,
) -> pd.DataFrame:
    """Refit to resamples of a table, drawn with replacement.

    A group that is drawn twice counts twice: its rows are there twice, told apart by a column
    ``resample_copy`` (0, 1, ...). A fit function that reduces the rows to unique checkpoints must
    keep that column among its keys, or it undoes the resampling.

    Parameters
    ----------
    fit_function : callable
        Takes a table with the columns of ``table`` and ``resample_copy``. Returns a
        :class:`~t2lib.Fit` (its ``params`` are kept), a mapping or Series of numbers, or a
        number (kept as ``value``). With several processes it must be a function that joblib can
        send: any function of a module or notebook. Where it has a method
        ``batch(table, counts)``, as :class:`~t2lib.ChinchillaRefit` and
        :class:`~t2lib.AdditiveRefit` do, resamples are handed to that many at a time, as
        how often each drew each row: the same draws, far faster.
    table : DataFrame
        The observed rows.
    n : int
        Number of resamples, at least 1.
    seed : int
        Resample i depends on the seed and on i alone, whatever ``n`` and ``n_jobs`` are.
    by : {"model", "checkpoint", "row"} or sequence of column names
        What is drawn: groups of rows that share these columns. "model" is the column ``model``
        (with ``suite`` where the table has it), "checkpoint" is the model and ``n_tokens``,
        "row" is every row by itself.
    stratify : str or sequence of str, optional
        Columns whose levels each keep their number of groups. Groups are formed within each
        level: stratified by task, a model is drawn for each task apart.
    n_jobs : int, optional
        Processes, as joblib counts them; by default what ``joblib.parallel_config`` says, else 1.
        Under ``joblib.parallel_config("dask")`` the cluster's workers count instead.

    Returns
    -------
    DataFrame
        One row a resample (the index is its number i), one column a parameter. ``attrs`` tell
        what happened:

        ``failed`` : dict
            ``number`` of resamples whose fit raised or gave a number that is not finite (they have
            no row), and the ``first`` message. A warning says the same.
        ``at_bounds`` : dict
            How many of the kept fits named each parameter at a bound (``Fit.at_bounds``).
        ``interrupted`` : bool
            Whether Ctrl-C stopped the run; what was done by then is returned.

    Raises
    ------
    ValueError
        Where n is below 1, the table is empty, a column is missing or has a gap.
    RuntimeError
        Where every fit failed; the message is the first one's.
    ClusterError
        Where workers die again and again, or none is left.

    References
    ----------
    Efron and Tibshirani (1993), "An Introduction to the Bootstrap", chapters 6 and 8.

    Examples
    --------
    >>> table = pd.DataFrame({"model": list("aabbcc"), "loss": [1.0, 1.2, 2.0, 2.2, 3.0, 3.2]})
    >>> draws = bootstrap(lambda t: t["loss"].mean(), table, n=200, seed=0, by="model")
    >>> draws.shape, draws.attrs["failed"]["number"]
    ((200, 1), 0)
    """
    if n < 1:
        raise ValueError(f"n is {n}: must be at least 1 resample")
    strata = [stratify] if isinstance(stratify, str) else list(stratify or [])
    groups = _groups(table, by, strata)

    def drawn(i: int) -> IntArray:
        # The i-th child of the seed: the same draw in whatever process it is made.
        return groups.draw(np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(i,))))

    return _refit(fit_function, groups, drawn, n, n_jobs, "resamples")


def jackknife(
    fit_function: FitFunction,
    table: pd.DataFrame,
    *,
    by: str | Sequence[str] = "checkpoint",
    n_jobs: int | None = None,
) -> pd.DataFrame:
    """Refit with one group left out, for each group: its influence, and BCa's acceleration.

    Parameters
    ----------
    fit_function, table, by, n_jobs
        As in :func:`bootstrap`; the column ``resample_copy`` is 0 throughout.

    Returns
    -------
    DataFrame
        One row a group left out, one column a parameter. The index is the group's key: a label,
        or several levels for several columns. ``attrs`` as in :func:`bootstrap`.

    Raises
    ------
    ValueError
        As :func:`bootstrap`, or where there is only one group.
    RuntimeError
        Where every fit failed.
    """
    groups = _groups(table, by, [])
    if len(groups) < 2:
        raise ValueError("the table has one group: there is nothing left when it is left out")
    everyone = np.arange(len(groups))

    def drawn(i: int) -> IntArray:
        return np.delete(everyone, i)

    left_out = _refit(fit_function, groups, drawn, len(groups), n_jobs, "groups left out")
    left_out.index = groups.keys[left_out.index.to_numpy()]
    return left_out


def percentile_interval(draws: pd.DataFrame | pd.Series, level: float = 0.95) -> pd.DataFrame:
    """Central interval of the draws of each parameter.

    A further draw lies within it with the nominal probability, as the quantiles are type 6 of
    Hyndman and Fan. At 95 % that takes 39 draws; the interval of fewer is their whole range.

    Parameters
    ----------
    draws : DataFrame or Series
        From :func:`bootstrap`, or one column of it.
    level : float
        Coverage, between 0 and 1.

    Returns
    -------
    DataFrame
        One row a parameter, columns ``low`` and ``high``.

    Raises
    ------
    ValueError
        Where the level is not between 0 and 1, or there are fewer than two draws.

    References
    ----------
    Hyndman and Fan (1996), "Sample Quantiles in Statistical Packages".
    """
    frame = _draws(draws)
    tail = _tail(level)
    return _quantiles(frame, dict.fromkeys(frame.columns, (tail, 1 - tail)))


def bca_interval(
    draws: pd.DataFrame | pd.Series,
    estimate: Mapping[str, float] | float,
    jackknife: pd.DataFrame | pd.Series,
    level: float = 0.95,
) -> pd.DataFrame:
    """Bias-corrected and accelerated interval of each parameter.

    Parameters
    ----------
    draws : DataFrame or Series
        From :func:`bootstrap`.
    estimate : mapping or float
        The parameters fitted to the observed table; extra names are ignored. A number serves
        for draws of one column.
    jackknife : DataFrame or Series
        From :func:`jackknife`, by the same groups.
    level : float
        Coverage, between 0 and 1.

    Returns
    -------
    DataFrame
        One row a parameter, columns ``low`` and ``high``. Where every draw lies on one side of
        the estimate the correction is that of half a draw on the other side.

    Raises
    ------
    ValueError
        Where the level is not between 0 and 1, there are fewer than two draws, or a parameter
        is missing from the estimate or the jackknife.

    References
    ----------
    Efron and Tibshirani (1993), "An Introduction to the Bootstrap", section 14.3.
    """
    frame, left_out = _draws(draws), _draws(jackknife)
    if not isinstance(estimate, Mapping):
        if frame.shape[1] != 1:
            raise ValueError(f"estimate is one number, draws have {frame.shape[1]} parameters")
        estimate = {str(frame.columns[0]): float(estimate)}
    tails = {}
    for name in frame.columns:
        if name not in estimate or name not in left_out:
            place = "estimate" if name not in estimate else "jackknife"
            raise ValueError(f"{place} lacks the parameter {name!r}")
        column = frame[name].to_numpy()
        below = np.mean(column < estimate[name]) + np.mean(column == estimate[name]) / 2
        half_a_draw = 0.5 / len(column)
        bias = special.ndtri(np.clip(below, half_a_draw, 1 - half_a_draw))
        away = left_out[name].mean() - left_out[name].to_numpy()
        spread = np.sum(away**2) ** 1.5
        acceleration = np.sum(away**3) / (6 * spread) if spread > 0 else 0.0
        z = bias + special.ndtri([_tail(level), 1 - _tail(level)])
        low, high = special.ndtr(bias + z / (1 - acceleration * z))
        tails[name] = (float(low), float(high))
    return _quantiles(frame, tails)


# ------------------------------------------------------------------------------- intervals


def _draws(draws: pd.DataFrame | pd.Series) -> pd.DataFrame:
    frame = draws.to_frame(draws.name or "value") if isinstance(draws, pd.Series) else draws
    if len(frame) < 2:
        raise ValueError(f"{len(frame)} draws: an interval needs at least 2")
    return frame


def _tail(level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f"level is {level}: must be between 0 and 1")
    return (1 - level) / 2


def _quantiles(draws: pd.DataFrame, tails: Mapping[Any, tuple[float, float]]) -> pd.DataFrame:
    """Quantiles that a further draw passes with these probabilities, or the draws' own ends.

    Others lie further inside: of 100 draws, the usual 95 % hold 93 % of further ones.
    """
    ends = {name: np.quantile(draws[name], tail, method="weibull") for name, tail in tails.items()}
    return pd.DataFrame.from_dict(ends, orient="index", columns=["low", "high"])


# ------------------------------------------------------------------------------- groups


class _Groups:
    """A table's rows in groups, and the strata within which groups are drawn."""

    def __init__(self, table: pd.DataFrame, codes: IntArray, strata: IntArray, keys: pd.Index):
        self.table = table.assign(resample_copy=0)
        self.keys, self.codes = keys, codes
        order = np.argsort(codes, kind="stable")
        self.sizes = np.bincount(codes)
        self.rows = np.split(order, np.cumsum(self.sizes)[:-1])
        stratum_of_group = strata[order[np.cumsum(self.sizes) - 1]]
        self.strata = [np.flatnonzero(stratum_of_group == s) for s in np.unique(strata)]

    def __len__(self) -> int:
        return len(self.rows)

    def draw(self, rng: np.random.Generator) -> IntArray:
        """As many groups as each stratum has, with replacement."""
        drawn = [groups[rng.integers(len(groups), size=len(groups))] for groups in self.strata]
        return np.concatenate(drawn)

    def count(self, drawn: IntArray) -> IntArray:
        """How often each row of the table is drawn."""
        return np.bincount(drawn, minlength=len(self))[self.codes]

    def take(self, drawn: IntArray) -> pd.DataFrame:
        """Rows of the drawn groups, the copies of a group numbered from 0."""
        drawn = np.sort(drawn)
        copy = np.arange(len(drawn)) - np.searchsorted(drawn, drawn)
        taken = self.table.take(np.concatenate([self.rows[group] for group in drawn]))
        taken.index = pd.RangeIndex(len(taken))
        taken["resample_copy"] = np.repeat(copy, self.sizes[drawn])
        return taken


def _groups(table: pd.DataFrame, by: str | Sequence[str], strata: list[str]) -> _Groups:
    if table.empty:
        raise ValueError("the table is empty: there is nothing to resample")
    if isinstance(by, str) and by != "row" and by not in _GROUPS:
        raise ValueError(f"by is {by!r}: must be 'model', 'checkpoint', 'row' or a list of columns")
    columns = list(by) if not isinstance(by, str) else list(_GROUPS.get(by, []))
    if isinstance(by, str) and columns and "suite" in table:
        columns.insert(0, "suite")
    for column in [*columns, *strata]:
        if column not in table:
            raise ValueError(f"column {column} is missing: it is needed to resample by {by!r}")
        gaps = np.flatnonzero(table[column].isna())
        if len(gaps):
            raise ValueError(f"row {gaps[0]}, column {column}: is empty; resample by='row' instead")
    codes, keys = _codes(table, [*columns, *(s for s in strata if s not in columns)], by == "row")
    levels = _codes(table, strata, False)[0] if strata else np.zeros(len(table), dtype=np.int64)
    return _Groups(table, codes, levels, keys)


def _codes(table: pd.DataFrame, columns: list[str], every_row: bool) -> tuple[IntArray, pd.Index]:
    """Number the groups of rows in order of first appearance, and give their keys."""
    if every_row:
        return np.arange(len(table)), pd.RangeIndex(len(table), name="row")
    if not columns:
        raise ValueError("by names no column: there is nothing to draw")
    codes = table.groupby(columns, sort=False, observed=True).ngroup().to_numpy()
    return codes.astype(np.int64), table.drop_duplicates(columns).set_index(columns).index


# ------------------------------------------------------------------------------- the runs

# One fit: its number, its parameters (None: it failed), the failure, the parameters at bounds.
_Outcome = tuple[int, dict[Hashable, float] | None, str, tuple[str, ...]]


def _refit(
    fit_function: FitFunction,
    groups: _Groups,
    drawn: Callable[[int], IntArray],
    n: int,
    n_jobs: int | None,
    unit: str,
) -> pd.DataFrame:
    """Fit to every resample, keep what is good, count the rest."""
    outcomes: list[_Outcome] = []
    interrupted = False
    bar = tqdm(total=n, unit=f" {unit}", delay=_LONG_RUN, disable=None, leave=False)
    try:
        for outcome in chain.from_iterable(_in_batches(fit_function, groups, drawn, n, n_jobs)):
            outcomes.append(outcome)
            bar.update()
    except KeyboardInterrupt:
        interrupted = True
    finally:
        bar.close()
    return _collect(outcomes, n, interrupted, unit)


def _in_batches(
    fit_function: FitFunction,
    groups: _Groups,
    drawn: Callable[[int], IntArray],
    n: int,
    n_jobs: int | None,
) -> Iterator[list[_Outcome]]:
    together = hasattr(fit_function, "batch")
    n_workers = parallel.workers(n_jobs)
    if n_workers == 1:
        size = _AT_ONCE if together else 1
    else:
        # Each batch is sent with the table: few enough to be cheap, many enough to share out.
        size = int(np.clip(n // (8 * n_workers), 1, _AT_ONCE))
    batches = (range(start, min(start + size, n)) for start in range(0, n, size))
    fit = _fit_together if together else _fit_one_by_one
    calls = (partial(fit, fit_function, batch, groups, drawn) for batch in batches)
    if n_workers == 1:
        return (call() for call in calls)
    # As each is done, not in order: an interrupted run then keeps everything that was done.
    return parallel.run(calls, n_jobs=n_jobs, ordered=False)


def _fit_one_by_one(
    fit_function: FitFunction,
    which: Sequence[int],
    groups: _Groups,
    drawn: Callable[[int], IntArray],
) -> list[_Outcome]:
    return [_fit_one(fit_function, i, groups.take(drawn(i))) for i in which]


def _fit_together(
    fit_function: Any, which: Sequence[int], groups: _Groups, drawn: Callable[[int], IntArray]
) -> list[_Outcome]:
    counts = np.stack([groups.count(drawn(i)) for i in which])
    return [
        (i, None, f"{type(refit).__name__}: {refit}", ())
        if isinstance(refit, Exception)
        else _outcome(i, *refit)
        for i, refit in zip(which, fit_function.batch(groups.table, counts), strict=True)
    ]


def _fit_one(fit_function: FitFunction, i: int, table: pd.DataFrame) -> _Outcome:
    try:
        result = fit_function(table)
        params = _params(result)
    except Exception as error:  # any failure of a user's fit is counted, whatever its kind
        return i, None, f"{type(error).__name__}: {error}", ()
    return _outcome(i, params, tuple(getattr(result, "at_bounds", ())))


def _outcome(i: int, params: dict[Hashable, float], at_bounds: tuple[str, ...]) -> _Outcome:
    for name, value in params.items():
        if not np.isfinite(value):
            return i, None, f"{name} is {value}", ()
    return i, params, "", at_bounds


def _params(result: Any) -> dict[Hashable, float]:
    result = getattr(result, "params", result)
    if isinstance(result, Mapping | pd.Series):
        return {name: float(value) for name, value in result.items()}
    return {"value": float(result)}


def _collect(outcomes: list[_Outcome], asked: int, interrupted: bool, unit: str) -> pd.DataFrame:
    outcomes = sorted(outcomes, key=lambda outcome: outcome[0])
    good = {i: params for i, params, _, _ in outcomes if params is not None}
    messages = [message for _, params, message, _ in outcomes if params is None]
    if messages and not good:
        raise RuntimeError(f"all {len(messages)} {unit} failed; the first: {messages[0]}")
    names = list(dict.fromkeys(chain.from_iterable(good.values())))
    frame = pd.DataFrame.from_dict(good, orient="index", columns=names, dtype=float)
    frame.index.name = "resample"
    frame.attrs["failed"] = {"number": len(messages), "first": messages[0] if messages else ""}
    bounds = Counter(chain.from_iterable(at for _, _, _, at in outcomes))
    frame.attrs["at_bounds"] = dict(bounds)
    frame.attrs["interrupted"] = interrupted
    if messages:
        text = (
            f"{len(messages)} of {asked} {unit} failed and are left out; the first: {messages[0]}"
        )
        warnings.warn(text, RuntimeWarning, stacklevel=4)
    if interrupted:
        text = f"interrupted: {len(outcomes)} of {asked} {unit} were done"
        warnings.warn(text, RuntimeWarning, stacklevel=4)
    return frame
