"""Tables of any columns: what each is called there, and what might be meant where nobody says.

``question=task_id,correct=passed,n=num_samples`` says that the questions' names are in the column
``task_id``, and how many of ``num_samples`` samples were right in ``passed``. Without ``n`` or
``n_samples``, ``correct`` is the verdict on one sample, true or false, and the rows of a question
are counted. N and D may be written as in a runs file, 1.2B. A table without a column of models or
tasks is of the run, and the task, that its path names.
"""

from __future__ import annotations

import csv
import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from t2lib._checks import DataError, clip, require_one_of
from t2lib.data import tables
from t2lib.data.schemas import CHECKPOINT
from t2lib.data.tables import LONGEST_CSV, chunks, json_lines, kind_of, opened
from t2lib.evals.runs import number
from t2lib.evals.tally import first_line, parquet_names, parquet_rows, right_or_wrong, text

if TYPE_CHECKING:
    import pandas as pd

_SHORT = {"n": "n_samples", "c": "n_correct", "N": "n_params", "D": "n_tokens", "run": "model"}
# What others call a column, the likeliest first; close spellings are found without this.
_OTHERS: dict[str, tuple[str, ...]] = {
    "suite": (),
    "model": ("run", "model_name", "model_id", "checkpoint"),
    "task": ("dataset", "benchmark", "eval_name", "task_name", "subset"),
    "n_params": ("N", "params", "parameters", "num_params", "model_num_parameters", "model_size"),
    "n_tokens": ("D", "tokens", "num_tokens", "train_tokens", "tokens_seen"),
    "question": (
        *(
            "task_id",
            "doc_id",
            "problem_id",
            "question_id",
            "sample_id",
            "instance_id",
            "native_id",
        ),
        *("example_id", "id", "idx", "index", "problem", "prompt"),
    ),
    "nll": ("neg_log_likelihood", "negative_log_likelihood", "neg_logprob", "loss"),
    "n_samples": ("n", "num_samples", "Num. Samples", "samples", "total", "attempts", "trials"),
    "n_correct": ("c", "num_correct", "Num. Samples Correct", "num_passed", "correct_count"),
    "correct": ("passed", "is_correct", "pass", "success", "exact_match", "acc", "score", "right"),
    "k": (),
    "n_questions": ("num_questions", "questions"),
    "pass_at_k": ("pass@k",),
    "neg_log_pass": (),
    "mean_nll": ("mean_loss",),
}
SIZES = ("n_params", "n_tokens")
_TRUTH = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}


def read_columns(given: Mapping[str, str] | Iterable[str] | None) -> dict[str, str]:
    """Return what each column is called in the file.

    Parameters
    ----------
    given : mapping or iterable of str, optional
        Our name to the file's, or texts as ``question=task_id,correct=passed``. ``n``, ``c``,
        ``N``, ``D`` and ``run`` are short for n_samples, n_correct, n_params, n_tokens and model.

    Raises
    ------
    DataError
        Where a name is unknown or there twice.

    Examples
    --------
    >>> read_columns(["question=task_id,correct=passed,n=num_samples"])
    {'question': 'task_id', 'n_correct': 'passed', 'n_samples': 'num_samples'}
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        given = dict(_pair(one) for text in given for one in text.split(","))
    found: dict[str, str] = {}
    names = [_SHORT.get(name, name) for name in given]
    for name, column in zip(names, given.values(), strict=True):
        require_one_of(name, _OTHERS, "column")
        name = "n_correct" if name == "correct" and "n_samples" in names else name
        if name in found or column in found.values():
            raise DataError(f"columns: {clip(name)}={clip(column)}: one of them is there twice")
        found[name] = column
    return found


def _pair(text: str) -> tuple[str, str]:
    name, equals, column = (part.strip() for part in text.partition("="))
    if not (name and equals and column):
        raise DataError(f"columns: {clip(repr(text))}: want NAME=COLUMN, as question=task_id")
    return name, column


def header_of(path: Path) -> list[str]:
    """Return the names of a table's columns; none where it is no table."""
    kind = kind_of(path)
    if kind == ".parquet":
        return parquet_names(path)
    if kind == ".jsonl":
        return list(first_line(path))
    try:
        with opened(path) as file:
            line = file.readline(LONGEST_CSV).decode("utf-8-sig")
        return next(csv.reader([line]), [])
    except (DataError, OSError, UnicodeDecodeError, csv.Error):
        return []


def has_all(path: Path, columns: Mapping[str, str]) -> bool:
    """Tell whether a file is a table with the columns that were named."""
    return bool(columns) and set(columns.values()) <= set(header_of(path))


def names_questions(path: Path, columns: Mapping[str, str]) -> bool:
    """Tell whether a table's questions are names, not numbers."""
    name = columns.get("question", "question")
    return "correct" in columns or tables.names_questions(path, name)


def chunks_of(
    path: Path, columns: Mapping[str, str], words: Sequence[str], numbers: Sequence[str]
) -> Iterator[pd.DataFrame]:
    """Yield a table's rows as :func:`t2lib.data.tables.chunks` does, its columns by our names."""
    words, numbers = [*words, *SIZES], [name for name in numbers if name not in SIZES]
    for table in _renamed(path, columns, words, numbers):
        yield _sized(table, path, columns)


def _renamed(
    path: Path, columns: Mapping[str, str], words: Sequence[str], numbers: Sequence[str]
) -> Iterator[pd.DataFrame]:
    if not columns:
        yield from chunks(path, words, numbers)
        return
    missing = [name for name in columns.values() if name not in header_of(path)]
    if missing:
        there = clip(", ".join(header_of(path)), 200)
        raise DataError(f"{path}: column {clip(missing[0])}: missing (there is: {there})")
    if "correct" in columns:
        yield _counted(path, columns, words)
        return
    own = {name: columns.get(name, name) for name in (*words, *numbers)}
    theirs = {column: name for name, column in columns.items()}
    for table in chunks(path, [own[name] for name in words], [own[name] for name in numbers]):
        replaced = [name for name in columns if name in table and name not in theirs]
        yield table.drop(columns=replaced).rename(columns=theirs)


def _sized(table: pd.DataFrame, path: Path, columns: Mapping[str, str]) -> pd.DataFrame:
    """Return a table with N and D as numbers where they were written as in a runs file: 1.2B."""
    from pandas.api.types import is_numeric_dtype

    for name in [x for x in SIZES if x in table and not is_numeric_dtype(table[x])]:
        sizes: dict[Any, float] = {}
        wrong: dict[Any, ValueError] = {}
        for value in table[name].dropna().unique():
            try:
                sizes[value] = number(value)
            except ValueError as error:
                wrong[value] = error
        if wrong:
            row = table.index[table[name].isin(wrong)][0]
            what = wrong[table[name][row]]
            raise DataError(f"{path}: row {row}, column {clip(columns.get(name, name))}: {what}")
        table = table.assign(**{name: table[name].astype(object).map(sizes).astype(float)})
    return table


def _counted(path: Path, columns: Mapping[str, str], words: Sequence[str]) -> pd.DataFrame:
    """Count the rows of each question, and those whose sample was right."""
    import pandas as pd

    header = header_of(path)
    own = {name: columns.get(name, name) for name in CHECKPOINT}
    own = {name: column for name, column in own.items() if column in header}
    question, correct = columns.get("question", "question"), columns["correct"]
    if question not in header:
        raise DataError(f"{path}: {wanted(header, 'column question: missing')}")
    counts: dict[tuple[Any, ...], list[int]] = {}
    for row, values in _rows(path, [*own.values(), question, correct]):
        where = f"{path}: row {row}, column"
        name = text(values.get(question), f"{where} {clip(question)}")
        key = (*(values.get(column) for column in own.values()), name)
        verdict = values.get(correct)
        verdict = _TRUTH.get(verdict.lower(), verdict) if isinstance(verdict, str) else verdict
        found = counts.setdefault(key, [0, 0, row])
        found[0] += 1
        found[1] += right_or_wrong(verdict, f"{where} {clip(correct)}")
    keys = list(zip(*counts, strict=True)) or [()] * (len(own) + 1)
    n, c, rows = zip(*counts.values(), strict=True) if counts else ((), (), ())
    named = dict(zip([*own, "question"], keys, strict=True))
    return pd.DataFrame(named | {"n_samples": n, "n_correct": c}, index=list(rows))


def _rows(path: Path, needed: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    if kind_of(path) == ".jsonl":
        return json_lines(path)
    if kind_of(path) == ".parquet":
        return parquet_rows(path, needed)
    parts = chunks(path, needed, [])
    return (
        (int(row), values)
        for part in parts
        for row, values in zip(part.index, _records(part[list(needed)]), strict=True)
    )


def _records(table: pd.DataFrame) -> Iterator[dict[str, Any]]:
    names = [str(name) for name in table.columns]
    return (dict(zip(names, row, strict=True)) for row in table.itertuples(index=False))


def wanted(header: Sequence[str], problem: str) -> str:
    """Say which columns a table of results has, and which of these might be meant.

    Parameters
    ----------
    header : sequence of str
        Columns that are there.
    problem : str
        What is wrong, to begin with.

    Examples
    --------
    >>> print(wanted(["task_id", "passed", "run"], "no column nll"))
    no column nll (there is: task_id, passed, run); want model, task, n_params, n_tokens, question \
and nll, or n_samples and n_correct, or correct of each sample (of curves: k, n_questions, \
pass_at_k); is it --columns model=run,question=task_id,correct=passed?
    """
    there = clip(", ".join(map(str, header)), 80)
    pairs = ",".join(f"{name}={column}" for name, column in _all_meant(header).items())
    return (
        f"{problem} (there is: {there}); want model, task, n_params, n_tokens, question and nll, "
        "or n_samples and n_correct, or correct of each sample (of curves: k, n_questions, "
        f"pass_at_k); {f'is it --columns {pairs}?' if pairs else '--columns names them'}"
    )


def _all_meant(header: Sequence[str]) -> dict[str, str]:
    """Return which column might be meant by each of ours that is not there."""
    meant: dict[str, str] = {}
    for name in _OTHERS:
        spare = [one for one in header if one not in {*meant.values(), *_OTHERS}]
        if name not in header and (found := _meant(name, spare)):
            meant[name] = found
    verdict = "correct" if "correct" in header else meant.pop("correct", "")
    if "n_samples" not in {*header, *meant}:  # the number of right ones alone says nothing
        verdict = meant.pop("n_correct", "") or verdict
    if verdict and not {"n_correct", "nll", "pass_at_k"} & {*header, *meant}:
        meant["n_correct" if "n_samples" in {*header, *meant} else "correct"] = verdict
    return meant


def _meant(name: str, spare: Sequence[str]) -> str:
    """Return the column that might be meant by one of ours; empty where none is like it."""
    lower = {one.lower(): one for one in reversed(spare)}
    for other in (name, *_OTHERS[name]):
        if other.lower() in lower:
            return lower[other.lower()]
    close = difflib.get_close_matches(name, list(lower), n=1, cutoff=0.75)
    return lower[close[0]] if close else ""
