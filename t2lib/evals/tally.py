"""Right and wrong answers counted, question by question, whatever tool logged them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from t2lib._checks import DataError, clip, counted, parse_json
from t2lib.data.tables import json_lines, kind_of, opened
from t2lib.evals.harness import Answers
from t2lib.evals.settings import fingerprint
from t2lib.passk import pass_at_k

LARGEST_JSON = 512 * 2**20  # bytes of a JSON document, which cannot be streamed
_ROWS = 256  # of a Parquet table with lists and texts in it


@dataclass
class Logged:
    """What one log says.

    Attributes
    ----------
    answers : list of Answers
        By task; a task without a name is called after the folder or file.
    notes : list of str
        Remarks, one line each.
    run : str
        What the log itself calls its run, with slashes as in a path; empty where it does not.
    opened : list of Path
        Other files that were read with it.
    """

    answers: list[Answers]
    notes: list[str] = field(default_factory=list)
    run: str = ""
    opened: list[Path] = field(default_factory=list)


class Tally:
    """Samples n and right ones c of every question, in the order of their first sample."""

    def __init__(self) -> None:
        self.tasks: dict[str, dict[str, list[int]]] = {}

    def add(self, task: str, question: str, right: int, n: int = 1) -> None:
        """Count ``n`` more samples of a question, ``right`` of them right."""
        counts = self.tasks.setdefault(task, {}).setdefault(question, [0, 0])
        counts[0] += n
        counts[1] += right

    def answers(self, path: Path) -> list[Answers]:
        """Return each task's counts; DataError where nothing was counted."""
        if not self.tasks:
            raise DataError(f"{path}: the log is empty")
        found = []
        for task, questions in self.tasks.items():
            n, c = np.array(list(questions.values()), dtype=np.int64).T
            facts = {"questions' names": fingerprint(questions)}
            found.append(Answers(task, None, n, c, facts, list(questions)))
        return found


def likelihoods(task: str, losses: Sequence[float], questions: Iterable[object]) -> Answers:
    """Return a task's losses with the names of their questions."""
    names = [str(one) for one in questions]
    facts = {"questions' names": fingerprint(names)}
    return Answers(task, np.array(losses), facts=facts, questions=names)


def with_facts(answers: list[Answers], facts: Mapping[str, object]) -> list[Answers]:
    """Add what must be the same at every checkpoint of a task, as far as the log tells it."""
    told = {name: clip(str(value)) for name, value in facts.items() if value not in (None, "")}
    return [replace(one, facts=one.facts | told) for one in answers]


def right_or_wrong(value: Any, where: str) -> int:
    """Return 1 or 0 for a verdict (true, false, 1, 0), or raise a DataError.

    Parameters
    ----------
    value : object
    where : str
        ``FILE: row R, column C`` of the verdict.
    """
    if isinstance(value, bool | int | float) and value in (0, 1):
        return int(value)
    raise DataError(f"{where}: {clip(repr(value))} is not true or false")


def right_of_share(share: Any, n: int, where: str) -> int:
    """Return how many of n samples are right where the log has their share."""
    right = round(_between_0_and_1(share, where) * n)
    if abs(share * n - right) > 1e-6 * n:
        raise DataError(f"{where}: {share} is not a share of {counted(n, 'sample')}")
    return right


def right_of_pass_at_k(value: Any, n: int, k: int, where: str) -> int:
    """Return how many of n samples are right where the log has pass@k, or raise a DataError."""
    if not 1 <= k <= n:
        raise DataError(f"{where}: pass@{k} of {n} samples")
    ways = np.arange(n + 1)
    off = np.abs(pass_at_k(n, ways, k) - _between_0_and_1(value, where))
    found = ways[off < 1e-6]
    if len(found) == 1:
        return int(found[0])
    told = f"{found[0]} to {found[-1]} right ones of {n} have" if len(found) else f"no c of {n} has"
    raise DataError(f"{where}: {told} pass@{k} {value}: want pass@1")


def _between_0_and_1(value: Any, where: str) -> float:
    if isinstance(value, bool | int | float) and 0 <= value <= 1:
        return float(value)
    raise DataError(f"{where}: {clip(repr(value))} is not between 0 and 1")


def chosen(
    names: Sequence[str], preferred: Sequence[str], metric: str, where: str
) -> tuple[str, list[str]]:
    """Choose which of a log's values says what is right.

    Parameters
    ----------
    names : sequence of str
        Values of the log that might.
    preferred : sequence of str
        Those that are taken before others, the best first; without one the only name is taken.
    metric : str
        The name that was asked for; empty for none.
    where : str
        ``FILE: row R, column C``.

    Returns
    -------
    str
    list of str
        The other names.

    Raises
    ------
    DataError
        Where the name asked for is not there, or several might be meant.
    """
    wanted = [metric] if metric else [*preferred, *(names if len(names) == 1 else ())]
    taken = next((name for name in wanted if name in names), None)
    if taken is None:
        there = clip(", ".join(names), 200) or "none"
        want = metric or "one of " + ", ".join(preferred)
        raise DataError(f"{where}: want {want}, there is {there}; --metric takes one")
    return taken, [name for name in names if name != taken]


def remark(task: str, taken: str, others: Sequence[str]) -> list[str]:
    """Say which value was taken, where there are others."""
    if not others:
        return []
    logged = clip(", ".join(others), 200)
    return [
        f"task {task}: right is what {taken} says; logged too: {logged}; --metric takes another"
    ]


def loss(value: Any, where: str) -> float:
    """Return the negative of a log-likelihood in nats, or raise a DataError."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise DataError(f"{where}: {clip(repr(value))} is not a finite log-likelihood")
    if value > 0:
        raise DataError(f"{where}: log-likelihood {value:g} is above 0")
    return -float(value)


def number(value: Any, where: str) -> float:
    """Return a number, finite or not, or raise a DataError."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DataError(f"{where}: {clip(repr(value))} is not a number")
    return float(value)


def require_likeliest(logs: Sequence[float], right: int, logged: Any, where: str) -> None:
    """Refuse log-likelihoods of choices that do not give the logged accuracy, 0 or 1."""
    likeliest = int(np.argmax(logs))
    if len(logs) > 1 and logged in (0, 1) and (likeliest == right) != logged:
        what = f"{logged}, and choice {likeliest} is likeliest, choice {right} right"
        raise DataError(f"{where}: {what}")


def first_line(path: Path) -> dict[str, Any]:
    """Return the first object of a JSON Lines file; empty where it is none."""
    if kind_of(path) != ".jsonl":
        return {}
    try:
        return next(json_lines(path), (0, {}))[1]
    except (DataError, OSError):
        return {}


def beginning(path: Path, length: int = 4096) -> bytes:
    """Return a file's first bytes; none where it cannot be read."""
    try:
        with opened(path) as file:
            return file.read(length)
    except (DataError, OSError):
        return b""


def json_document(path: Path) -> Any:
    """Read a JSON document of bounded size, strictly."""
    with opened(path) as file:
        content = file.read(LARGEST_JSON + 1)
    if len(content) > LARGEST_JSON:
        raise DataError(f"{path}: longer than {LARGEST_JSON >> 20} MiB")
    return parse_json(content, str(path))


def entries(value: Any, where: str) -> Iterator[tuple[str, Any]]:
    """Yield the places and entries of a JSON list or object, or raise a DataError."""
    if isinstance(value, dict):
        return iter([(f"{where}, {clip(str(name))}", one) for name, one in value.items()])
    if isinstance(value, list):
        return iter([(f"{where}, entry {i + 1}", one) for i, one in enumerate(value)])
    raise DataError(f"{where}: {clip(repr(value))} is no list")


def parquet_names(path: Path) -> list[str]:
    """Return the names of a Parquet file's columns; none where it is no Parquet file."""
    import pyarrow.parquet

    if path.suffix.lower() != ".parquet":
        return []
    try:
        return list(pyarrow.parquet.read_schema(path).names)
    except Exception:  # a broken file makes the reader raise anything; whoever reads it says so
        return []


def parquet_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield number and values of a Parquet table's rows, some hundred in memory at a time."""
    import pyarrow.parquet

    number = 0
    try:
        options = {"buffer_size": 2**20, "pre_buffer": False, "page_checksum_verification": True}
        with pyarrow.parquet.ParquetFile(path, **options) as file:
            for batch in file.iter_batches(batch_size=_ROWS, columns=list(columns)):
                for row in batch.replace_schema_metadata(None).to_pylist():
                    number += 1
                    yield number, row
    except Exception as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: not a Parquet table: {clip(str(error), 200)}") from None


def text(value: Any, where: str) -> str:
    """Return a name: text, or a whole number as text; DataError for anything else."""
    if isinstance(value, str | int) and not isinstance(value, bool) and str(value).strip():
        return str(value)
    raise DataError(f"{where}: {'missing' if value is None else clip(repr(value)) + ' is no name'}")
