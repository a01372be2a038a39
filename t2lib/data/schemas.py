"""What every table must look like, checked where it enters the library.

:func:`read_table` reads a CSV, Parquet or JSON Lines file and checks it;
:func:`~t2lib.data.schemas.validate` checks a table that is already in memory. Either way the first
fault becomes one line, ``FILE: row R, column C: what is wrong``.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from t2lib._belonging import first_contradiction
from t2lib._checks import DataError
from t2lib.data.tables import read

if TYPE_CHECKING:
    import pandas as pd

# pandas and pandera load inside functions: together they take longer to import than all the rest.

CHECKPOINT = ["suite", "model", "task", "n_params", "n_tokens"]
UNIQUE = {
    "curves": [*CHECKPOINT, "k"],
    "questions_nll": [*CHECKPOINT, "question"],
    "questions_counts": [*CHECKPOINT, "question"],
    "samples": [*CHECKPOINT, "question"],
    "points": ["suite", "model", "n_params", "n_tokens", "train_flops", "loss"],
    "histograms": [*CHECKPOINT, "log_p_low"],
    "registry": ["name"],
    "published": [],
}
WHOLE = (
    *("k", "n_questions", "n_samples", "n_correct", "question", "bytes"),
    *("approach", "tokens_per_parameter", "watts"),
)


def validate(table: pd.DataFrame, schema_name: str, source: str = "table") -> pd.DataFrame:
    """Check a table against a schema and return it with proper number types.

    Parameters
    ----------
    table : DataFrame
        The table. It is not changed. Columns that the schema does not know are kept as they are.
    schema_name : str
        "curves", "questions_nll", "questions_counts", "samples", "points", "histograms",
        "registry" or "published".
    source : str
        What to call the table in an error, usually its file.

    Returns
    -------
    DataFrame
        The same rows; numbers as float64, counts as int64.

    Raises
    ------
    DataError
        At the first fault; in a curve table also where rows contradict each other: pass@k that
        falls in k, a mean NLL below -log of the pass rate. The row it names is the table's own
        index label (its position where labels repeat); :func:`read_table` labels rows by line
        number, so that it is the line a user sees in an editor.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"suite": ["mine"], "model": ["a"], "n_params": [0], "n_tokens": [1e9],
    ...                       "train_flops": [1e18], "loss": [3.1]})
    >>> validate(table, "points", "r.csv")
    Traceback (most recent call last):
    ...
    t2lib._checks.DataError: r.csv: row 0, column n_params: 0 is not a positive finite number
    """
    import pandera.errors

    schema = _schema(schema_name)
    if not table.index.is_unique:
        table = table.reset_index(drop=True)
    _require_columns(table, schema, source)
    if table.empty:
        raise DataError(f"{source}: the table is empty: it has no rows")
    try:
        checked = schema.validate(table, lazy=True)
    except pandera.errors.SchemaErrors as error:
        message = _first_fault(error.failure_cases, table, schema)
        raise DataError(f"{source}: {message}") from None
    _require_unique(checked, schema_name, source)
    if schema_name == "curves":
        _require_no_contradiction(checked, source)
    known = {name for name, column in schema.columns.items() if column.dtype is not None}
    counts = [name for name in WHOLE if name in known and name in checked.columns]
    return checked.astype(dict.fromkeys(counts, "int64"))


def read_table(path: str | Path, schema_name: str) -> pd.DataFrame:
    """Read a CSV, Parquet or JSON Lines file and check it.

    Parameters
    ----------
    path : path
        The suffix says what it is: ``.csv``, ``.parquet`` or ``.jsonl``.
    schema_name : str
        See :func:`~t2lib.data.schemas.validate`.

    Returns
    -------
    DataFrame
        With rows numbered from 0.

    Raises
    ------
    DataError
        Where the file is missing, cannot be read or breaks the schema. Rows are named by line in
        CSV (the header is line 1) and JSON Lines, and counted from 1 in Parquet.
    """
    columns = _schema(schema_name).columns
    words = [name for name, column in columns.items() if column.dtype is None]
    numbers = [name for name in columns if name not in words]
    table = read(Path(path), words, numbers)
    return validate(table, schema_name, str(path)).reset_index(drop=True)


def _require_columns(table: pd.DataFrame, schema: Any, source: str) -> None:
    needed = [name for name, column in schema.columns.items() if column.required]
    missing = [name for name in needed if name not in table.columns]
    if not missing:
        return
    spare = [str(name) for name in table.columns if name not in schema.columns]
    close = difflib.get_close_matches(missing[0], spare, n=1)
    hint = f"; is {close[0]!r} meant?" if close else ""
    raise DataError(f"{source}: column {missing[0]}: missing{hint}")


def _require_unique(table: pd.DataFrame, schema_name: str, source: str) -> None:
    key = [name for name in UNIQUE[schema_name] if name in table]
    repeats = table.duplicated(key) if key else None
    if repeats is None or not repeats.any():
        return
    row = int(np.flatnonzero(repeats.to_numpy())[0])
    same = table[key].eq(table[key].iloc[row]) | table[key].isna()
    first = table.index[int(np.flatnonzero(same.all(axis=1).to_numpy())[0])]
    names = ", ".join(key)
    raise DataError(f"{source}: row {table.index[row]}, columns {names}: repeats row {first}")


def _require_no_contradiction(curves: pd.DataFrame, source: str) -> None:
    checkpoint = np.asarray(curves.groupby(CHECKPOINT, sort=False).ngroup(), dtype=np.int64)
    columns = (curves[name].to_numpy(float) for name in ("pass_at_k", "k", "mean_nll"))
    pass_at_k, k, loss = columns
    if found := first_contradiction(pass_at_k, k, checkpoint, loss):
        row, name, words = found
        column = {"loss": "mean_nll"}.get(name, name)
        value = curves[column].iloc[row]
        raise DataError(f"{source}: row {curves.index[row]}, column {column}: {value:g} {words}")


def _first_fault(failures: pd.DataFrame, table: pd.DataFrame, schema: Any) -> str:
    """Turn the first failure, in reading order, into one line.

    Values that are no numbers come first: the other checks could not run on their column.
    """
    found = []
    for failure in failures.itertuples():
        check = str(failure.check)
        is_text = check.startswith(("coerce_dtype", "dtype"))
        name, _, text = check.rpartition("|")
        column = name or str(failure.column)
        if is_text:
            text = "is not a number"
        elif check == "not_nullable":
            text = "is empty or not a number"
        row = failure.index
        if row is not None and row in table.index and column in table.columns:
            order = table.columns.get_loc(column)
            found.append((not is_text, table.index.get_loc(row), order, row, column, text))
    if not found:  # a check that could not even run, on a table of another shape
        return f"column {failures['column'].iloc[0]}: {failures['check'].iloc[0]}"
    *_, row, column, text = min(found)
    value = table.loc[row, column]
    shown = repr(value) if isinstance(value, str) else str(value).removesuffix(".0")
    return f"row {row}, column {column}: {shown} {text}"


@cache
def _schema(schema_name: str) -> Any:
    """Build the pandera schema; a check's text after ``|`` is what the user reads."""
    import pandera.pandas as pa

    def check(rule: Callable[[Any], Any], text: str, column: str = "") -> Any:
        return pa.Check(rule, error=f"{column}|{text}")

    def number(*checks: Any, nullable: bool = False, required: bool = True) -> Any:
        return pa.Column(float, list(checks), coerce=True, nullable=nullable, required=required)

    def text(*checks: Any, nullable: bool = False, required: bool = True) -> Any:
        return pa.Column(None, list(checks), nullable=nullable, required=required)

    finite = check(np.isfinite, "is not a finite number")
    above_0 = check(lambda x: (x > 0) & np.isfinite(x), "is not a positive finite number")
    from_0 = check(lambda x: (x >= 0) & np.isfinite(x), "is not a finite number of 0 or more")
    share = check(lambda x: (x >= 0) & (x <= 1), "is not between 0 and 1")
    whole = check(lambda x: np.isfinite(x) & (x == np.floor(x)), "is not a whole number")
    from_1 = check(lambda x: x >= 1, "is less than 1")
    whole_from_0 = check(lambda x: x >= 0, "is less than 0")
    digest = check(lambda x: x.str.fullmatch("[0-9a-f]{64}"), "is not a sha256 in hex")
    inside = check(
        lambda x: ~(x.str.startswith("/") | x.str.contains(r"(?:^|/)\.\.(?:/|$)")),
        "leaves its folder",
    )

    checkpoint = {
        "suite": text(),
        "model": text(),
        "task": text(),
        "n_params": number(above_0),
        "n_tokens": number(above_0),
    }
    question = {**checkpoint, "question": number(whole, whole_from_0)}
    run = {name: column for name, column in checkpoint.items() if name != "task"}
    columns: dict[str, dict[str, Any]] = {
        "curves": {
            **checkpoint,
            "k": number(whole, from_1),
            "n_questions": number(whole, from_1),
            "pass_at_k": number(share),
            "neg_log_pass": number(from_0, nullable=True),
            "mean_nll": number(from_0, nullable=True),
        },
        "questions_nll": {**question, "nll": number(from_0)},
        "questions_counts": {
            **question,
            "n_samples": number(whole, from_1),
            "n_correct": number(whole, whole_from_0),
            "k": number(whole, from_1, required=False),
        },
        "samples": {  # one checkpoint's, or several told apart by these
            **dict.fromkeys(("suite", "model", "task"), text(required=False)),
            **dict.fromkeys(("n_params", "n_tokens"), number(above_0, required=False)),
            "question": text(),
            "n_samples": number(whole, from_1),
            "n_correct": number(whole, whole_from_0),
        },
        "points": {
            **run,
            "model": text(nullable=True),
            "train_flops": number(above_0),
            "loss": number(above_0),
        },
        "histograms": {
            **checkpoint,
            "log_p_low": number(),
            "log_p_high": number(),
            "n_questions": number(whole, from_1),
        },
        "registry": {
            "name": text(),
            "repository": text(nullable=True),
            "commit": text(nullable=True),
            "path": text(inside),
            "bytes": number(whole, from_1),
            "sha256": text(digest),
            "licence": text(),
            "citation": text(),
        },
        "published": {
            "source": text(),
            **dict.fromkeys(
                ("value", "standard_error", "low", "high", "relative_error"),
                number(finite, nullable=True, required=False),
            ),
            **dict.fromkeys(
                (
                    *("n_params", "n_tokens", "overtrained_n_params", "chinchilla_n_params"),
                    *("n_exponent", "d_exponent", "peak_flops", "memory_bytes", "bandwidth"),
                ),
                number(above_0, required=False),
            ),
            **dict.fromkeys(
                ("approach", "tokens_per_parameter", "watts"),
                number(whole, from_1, required=False),
            ),
            **dict.fromkeys(
                ("overtrained_pass_at_k", "chinchilla_pass_at_k"), number(share, required=False)
            ),
        },
    }
    right = check(
        lambda t: t["n_correct"] <= t["n_samples"], "is larger than n_samples", "n_correct"
    )
    across: dict[str, list[Any]] = {
        "samples": [right],
        "questions_counts": [
            right,
            check(
                lambda t: t["k"] <= t["n_samples"] if "k" in t else t["n_samples"] > 0,
                "is larger than n_samples: pass@k is undefined there",
                "k",
            ),
        ],
        "histograms": [
            check(lambda t: t["log_p_low"] <= t["log_p_high"], "is above log_p_high", "log_p_low")
        ],
    }
    if schema_name not in columns:
        raise ValueError(f"no schema named {schema_name!r}: want one of {', '.join(columns)}")
    return pa.DataFrameSchema(columns[schema_name], checks=across.get(schema_name), strict=False)
