"""Logs of EleutherAI's lm-evaluation-harness: one file of samples to what a curve needs.

Read are the files ``samples_TASK_DATE.jsonl`` that ``--log_samples`` writes since version 0.4.3
(checked against the source of 0.4.4, 0.4.9 and 0.4.13): a JSON object a line, a line a question and
filter, with ``doc_id, doc, target, arguments, resps, filtered_resps``, in later versions ``filter``
and ``metrics``, and the metrics' own values. Older versions wrote one indented JSON list, which
cannot be streamed; it is refused.

What is taken from a line:

* **multiple choice and log-likelihood tasks**: the log-likelihood of the right answer as a whole
  (not per token), ``-nll``. Which choice is right is nowhere said outright. ``target`` is its
  number or its text; where ``acc`` is logged, the reading must agree with it on every line (the
  likeliest choice is the right one just where ``acc`` is 1), or the file is refused. Where all
  choices have one continuation and differ in the context (Winogrande), ``acc`` alone decides
  between two.
* **generate-until tasks**: the number of responses n and of right ones c. The harness logs one
  value of a metric a line. It gives c where it scored every response: with n = 1; as the share
  c / n, which ``exact_match`` is behind a ``take_first_k`` filter and ``pass@1`` by definition; or
  as a list of n values. Where it scored the first response only (``take_first``), the others are
  scored here, by the task's own settings in the results file beside the log
  (:mod:`t2lib.evals.rescoring`), and every first response must come out as logged. A majority
  vote, or any other value, does not say how many were right.

What cannot be known is refused, never guessed.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, Protocol

import numpy as np
import numpy.typing as npt

from t2lib._checks import DataError, clip, parse_json
from t2lib.data.tables import json_lines
from t2lib.evals.rescoring import Scorer, scorer

_LARGEST_RESULTS = 64 * 2**20  # bytes
_FILE_NAME = re.compile(
    r"samples_(.+?)(?:_\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d(?:\.\d+)?)?\.jsonl(?:\.gz|\.zst)?"
)
_RIGHT_OR_WRONG = ("exact_match", "pass@1", "pass_at_1", "acc")


class Fail(Protocol):
    """Raises a DataError for the line that is being read."""

    def __call__(self, column: str, what: str) -> NoReturn:
        """Say what is wrong in a column."""


@dataclass
class Answers:
    """A task's answers by one run: ``nll`` of every question, or its samples n and right ones c."""

    task: str
    nll: npt.NDArray[np.float64] | None = None
    n_samples: npt.NDArray[np.int64] | None = None
    n_correct: npt.NDArray[np.int64] | None = None

    def __len__(self) -> int:
        """Count the questions."""
        arrays = [one for one in (self.nll, self.n_samples) if one is not None]
        return len(arrays[0])


def is_sample(row: dict[str, Any]) -> bool:
    """Tell whether a JSON object is a line of the harness's log of samples."""
    return "resps" in row or "filtered_resps" in row or {"doc", "doc_id"} <= row.keys()


def task_of(path: Path) -> str:
    """Return the task that a log's file name says.

    Raises
    ------
    DataError
        Where the name is not ``samples_TASK_DATE.jsonl``.
    """
    match = _FILE_NAME.fullmatch(path.name)
    if match is None:
        raise DataError(f"{path}: a harness log must be named samples_TASK_DATE.jsonl")
    if re.search("[\ud800-\udfff]", match[1]):
        raise DataError(f"{path}: the task's name is not UTF-8 text")
    return match[1]


def read_samples(path: Path) -> tuple[list[Answers], list[str]]:
    """Read one log of samples, line by line.

    Parameters
    ----------
    path : Path
        ``samples_TASK_DATE.jsonl``.

    Returns
    -------
    list of Answers
        One, or one a filter where a generate-until task has several that score every response;
        their task is then named ``TASK,FILTER``, as in the harness's own tables.
    list of str
        One line for each filter that was left out because it does not.

    Raises
    ------
    DataError
        ``FILE: row R, column C: what is wrong``, at the first fault.
    """
    task = task_of(path)
    results = _results(path, task)
    log = _Log(path, results.config)
    for number, row in json_lines(path):
        log.add(number, row)
    log.close(results.n_questions)
    if log.kind == "likelihood":
        return [Answers(task, nll=log.right_nll())], []
    return log.counts(task)


@dataclass(frozen=True)
class _Results:
    """What the results file beside a log says about its task."""

    n_questions: int | None = None
    config: Any = None


def results_file(path: Path) -> Path:
    """Return where the results file of a log's date would be."""
    found = _FILE_NAME.fullmatch(path.name)
    date = path.name[found.end(1) + 1 :] if found else path.name
    return path.with_name(f"results_{date.split('.jsonl')[0]}.json")


def _results(path: Path, task: str) -> _Results:
    """Read the results file of the same date, if there is one."""
    file = results_file(path)
    if file.is_symlink() or not file.is_file() or file.stat().st_size > _LARGEST_RESULTS:
        return _Results()
    content = parse_json(file.read_bytes(), str(file))
    counted = _inside(content, "n-samples", task, "effective")
    config = _inside(content, "configs", task)
    return _Results(counted if isinstance(counted, int) else None, config)


def _inside(content: Any, *keys: str) -> Any:
    for key in keys:
        content = content.get(key) if isinstance(content, dict) else None
    return content


@dataclass
class _Filter:
    """What one filter's lines say about a generate-until task."""

    n_samples: list[int] = field(default_factory=list)
    n_correct: list[int] = field(default_factory=list)
    unknown: str = ""  # why its counts cannot be known
    where: str = ""
    score: Scorer | None = None
    rescored: bool = False


class _Log:
    """What has been read of a file so far."""

    def __init__(self, path: Path, config: Any) -> None:
        self.path = path
        self.config = config
        self.kind = ""
        self.keys: set[str] = set()
        self.seen: dict[tuple[str, int], int] = {}
        # How to find the right choice: each way's losses, or why the way is out.
        self.ways: dict[str, list[float]] = {}
        self.out: dict[str, str] = {}
        self.filters: dict[str, _Filter] = {}
        self.at = ""

    def add(self, number: int, row: dict[str, Any]) -> None:
        self.at = f"{self.path}: row {number}"
        if not is_sample(row):
            raise DataError(f"{self.at}: not a line of the harness's log: no resps")
        question = row.get("doc_id")
        if isinstance(question, bool) or not isinstance(question, int) or question < 0:
            self._fail("doc_id", f"{clip(repr(question))} is not a question's number")
        key = (str(row.get("filter", "")), question)
        if key in self.seen:
            what = f"repeats question {question} of row {self.seen[key]}"
            self._fail("doc_id", f"{what}: are several tasks or runs in one file?")
        self.seen[key] = number
        self._same_shape(row)
        requests = _requests(row, self._fail)
        kind = "likelihood" if requests else "samples"
        if self.kind not in ("", kind):
            self._fail("resps", "log-likelihoods and generated text: mixed tasks in one file")
        self.kind = kind
        if row.get("target") is None and not isinstance(_gold(row), int):
            self._fail("target", "missing: which answer is right is not said")
        if requests:
            self._add_likelihood(row, requests)
        else:
            self._add_counts(row)

    def _fail(self, column: str, what: str) -> NoReturn:
        raise DataError(f"{self.at}, column {column}: {what}")

    def _same_shape(self, row: dict[str, Any]) -> None:
        """Questions of one task are alike: their documents have the same fields."""
        document = row.get("doc")
        keys = document.keys() if isinstance(document, dict) else set()
        if len(self.seen) == 1:
            self.keys = set(keys)
        elif keys != self.keys:
            other = clip(", ".join(sorted(keys ^ self.keys)))
            self._fail("doc", f"its fields differ from row 1's ({other}): mixed tasks in one file")

    def _add_likelihood(self, row: dict[str, Any], requests: list[tuple[Any, Any, float]]) -> None:
        ways = _right_choice(row, requests, self._fail)
        best = _likeliest(requests)
        accuracy = row.get("acc") if len(requests) > 1 else None
        if accuracy is not None and accuracy not in (0, 1):
            self._fail("acc", f"{clip(repr(accuracy))} is not 0 or 1: no single answer is right")
        if len(self.seen) == 1:
            self.ways = {way: [] for way in ways}
        for way, losses in self.ways.items():
            if way in self.out:
                continue
            choice = ways.get(way)
            if choice is None:
                self.out[way] = f"{self.at}, column target: {_shown(row)} names no choice"
            elif accuracy is not None and (choice == best) != (accuracy == 1):
                what = f"target says choice {choice}, acc says otherwise"
                self.out[way] = f"{self.at}, column acc: {what}: which answer is right is not known"
            else:
                losses.append(-requests[choice][2])
        if len(self.out) == len(self.ways):
            if not self.ways:
                self._fail("target", f"{_shown(row)} names no choice")
            raise DataError(next(iter(self.out.values())))

    def right_nll(self) -> npt.NDArray[np.float64]:
        """Return the right answers' losses; DataError where two readings of target differ."""
        left = [np.array(self.ways[way]) + 0.0 for way in self.ways if way not in self.out]
        if any(not np.array_equal(left[0], other) for other in left[1:]):
            raise DataError(
                f"{self.path}: column target: a choice's number or its text? Both can be meant, "
                "and acc does not tell"
            )
        return left[0]

    def _add_counts(self, row: dict[str, Any]) -> None:
        name = str(row.get("filter", ""))
        if name not in self.filters:
            self.filters[name] = _Filter(score=scorer(self.config, name))
        found = self.filters[name]
        if found.unknown:
            return
        try:
            n, c, rescored = _count(row, found.score, self._fail)
        except _UnknownError as error:
            found.unknown = str(error)
            found.where = self.at
        else:
            found.n_samples.append(n)
            found.n_correct.append(c)
            found.rescored |= rescored

    def counts(self, task: str) -> tuple[list[Answers], list[str]]:
        known = {name: found for name, found in self.filters.items() if not found.unknown}
        if not known:
            first = next(iter(self.filters.values()))
            raise DataError(f"{first.where}, {first.unknown}")
        answers, notes = [], []
        for name, found in self.filters.items():
            label = task if len(known) == 1 else f"{task},{name}"
            if found.unknown:
                notes.append(f"task {task}: filter {name} left out: {found.unknown}")
                continue
            if found.rescored:
                notes.append(
                    f"task {label}: the harness scored each question's first response; the others "
                    "are scored by the same settings, read from the results file"
                )
            n, c = np.array(found.n_samples), np.array(found.n_correct)
            answers.append(Answers(label, n_samples=n, n_correct=c))
        return answers, notes

    def close(self, expected: int | None) -> None:
        """Check the file as a whole: not empty, no question lost, every filter complete."""
        if not self.seen:
            raise DataError(f"{self.path}: the log is empty")
        filters: dict[str, int] = {}
        for name, _ in self.seen:
            filters[name] = filters.get(name, 0) + 1
        if len(set(filters.values())) > 1:
            raise DataError(f"{self.path}: filters differ in their questions: is the log cut off?")
        number = next(iter(filters.values()))
        if expected is not None and number != expected:
            raise DataError(
                f"{self.path}: {number} questions, the results file beside it counts {expected}: "
                "is the log cut off?"
            )


class _UnknownError(Exception):
    """The log does not say how many responses were right."""


def _shown(row: dict[str, Any]) -> str:
    return clip(repr(row.get("target")))


def _is_list(target: Any) -> bool:
    """Tell whether a target is a list, or the text that the log makes of one."""
    return isinstance(target, list) or (
        isinstance(target, str) and target.startswith("[") and target.endswith("]")
    )


def _gold(row: dict[str, Any]) -> Any:
    document = row.get("doc")
    gold = document.get("gold") if isinstance(document, dict) else None
    return None if isinstance(gold, bool) else gold


def _requests(row: dict[str, Any], fail: Fail) -> list[tuple[Any, Any, float]]:
    """Return (context, continuation, log-likelihood) of each request; none for generated text.

    Requests without a context are left out where others have one: they are the unconditional
    likelihoods of ``acc_mutual_info``.
    """
    responses = row.get("resps")
    if not isinstance(responses, list) or not responses:
        fail("resps", "missing" if responses is None else "not a list of responses")
    firsts = [one[0] if isinstance(one, list) and one else one for one in responses]
    if isinstance(firsts[0], str) or firsts[0] == []:
        return []
    arguments = _arguments(row)
    if len(arguments) != len(firsts) or any(len(pair) < 2 for pair in arguments):
        fail("arguments", "want a context and a continuation for every response")
    found = []
    for (context, continuation, *_), first in zip(arguments, firsts, strict=True):
        if not isinstance(first, list) or len(first) != 2:
            fail("resps", f"{clip(repr(first))} is not a log-likelihood with its is_greedy")
        found.append((context, continuation, _log_likelihood(first[0], fail)))
    conditional = [request for request in found if request[0] != ""]
    return conditional or found


def _likeliest(requests: list[tuple[Any, Any, float]]) -> int:
    """Return the likeliest choice, the first of equals, as the harness does."""
    return max(range(len(requests)), key=lambda choice: requests[choice][2])


def _log_likelihood(value: Any, fail: Fail) -> float:
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError
        loglikelihood = float(value)
    except (ValueError, OverflowError):
        fail("resps", f"{clip(repr(value))} is not a number")
    if loglikelihood > 0:
        fail("resps", f"log-likelihood {loglikelihood} is above 0")
    if not math.isfinite(loglikelihood):
        fail("resps", f"log-likelihood {loglikelihood} is not finite")
    return loglikelihood


def _arguments(row: dict[str, Any]) -> list[list[Any]]:
    """Return the requests' arguments: lists, or the mappings that the log makes of them."""
    arguments = row.get("arguments")
    if isinstance(arguments, dict):
        arguments = list(arguments.values())
    if not isinstance(arguments, list):
        return []
    pairs = [list(pair.values()) if isinstance(pair, dict) else pair for pair in arguments]
    return [pair if isinstance(pair, list) else [] for pair in pairs]


def _right_choice(
    row: dict[str, Any], requests: list[tuple[Any, Any, float]], fail: Fail
) -> dict[str, int]:
    """Return each way of telling the right choice, with the choice it tells on this line."""
    if len(requests) == 1:
        return {"only": 0}
    target, gold = row.get("target"), _gold(row)
    texts = [str(continuation).strip() for _, continuation, _ in requests]
    if len(set(texts)) == 1 and len({str(context) for context, _, _ in requests}) > 1:
        accuracy = row.get("acc")
        if len(requests) != 2 or accuracy not in (0, 1):
            fail("acc", "choices differ in the context only: the log does not say which is right")
        best = _likeliest(requests)
        return {"acc": best if accuracy == 1 else 1 - best}
    if _is_list(target):
        fail("target", f"{_shown(row)} names several right answers: one likelihood says too little")
    ways = {}
    text = str(target).strip()
    if re.fullmatch(r"\d{1,9}", text) and int(text) < len(requests):
        ways["number"] = int(text)
    if target is not None and text in texts:
        ways["text"] = texts.index(text)
    if target is None and isinstance(gold, int) and 0 <= gold < len(requests):
        ways["gold"] = gold
    return ways


def _count(row: dict[str, Any], score: Scorer | None, fail: Fail) -> tuple[int, int, bool]:
    """Return how many responses a line holds, how many were right, and whether scored here."""
    responses = row["resps"]
    arguments = _arguments(row)
    if len(responses) != 1:
        fail("resps", f"{len(responses)} requests for one question: want one, with its repeats")
    if arguments and not (len(arguments[0]) > 1 and isinstance(arguments[0][1], dict)):
        fail("arguments", "no generation settings: a rolling log-likelihood has no right answer")
    texts = responses[0] if isinstance(responses[0], list) else [responses[0]]
    if not texts:
        fail("resps", "0 responses: nothing was sampled")
    for text in texts:
        if not isinstance(text, str):
            fail("resps", f"{clip(repr(text))} is not a response's text")
    metric = next((name for name in _RIGHT_OR_WRONG if name in row), None)
    if metric is None:
        logged = row.get("metrics")
        names = clip(", ".join(map(str, logged))) if isinstance(logged, list) else "unknown names"
        fail("metrics", f"none of {', '.join(_RIGHT_OR_WRONG)} is logged (there is: {names})")
    value = row[metric]
    n = len(texts)
    if isinstance(value, list):
        if len(value) != n or any(one not in (0, 1) for one in value):
            fail(metric, f"want {n} values, each 0 or 1")
        return n, sum(int(one) for one in value), False
    if not isinstance(value, bool | int | float) or not 0 <= value <= 1:
        fail(metric, f"{clip(repr(value))} is not between 0 and 1")
    if n > 1 and _is_list(row.get("target")):
        raise _UnknownError(f"column {metric}: several right answers, 1 says that any was given")
    filtered = row.get("filtered_resps")
    first = filtered[0] if isinstance(filtered, list) and len(filtered) == 1 else None
    scored = len(first) if isinstance(first, list) else 1
    if scored == n:
        return n, _whole(value, n, metric, fail), False
    if scored == 1 and metric == "exact_match" and score is not None:
        return n, _rescored(texts, str(row["target"]), (first, bool(value)), score), True
    raise _UnknownError(
        f"column {metric}: scores {scored} of {n} responses: which of the others are right is not "
        f"in the log; log with the filter take_first_k, k: {n}"
    )


def _whole(share: float, n: int, metric: str, fail: Fail) -> int:
    correct = round(share * n)
    if abs(share * n - correct) > 1e-6 * n:
        fail(metric, f"{share} is not a share of {n} responses")
    return correct


def _rescored(texts: list[str], target: str, logged: tuple[Any, bool], score: Scorer) -> int:
    """Score every response; the first must come out as the harness logged it."""
    scores = [score(text, target) for text in texts]
    if scores[0] != logged:
        raise _UnknownError(
            f"column exact_match: scores 1 of {len(texts)} responses, and the settings in the "
            "results file do not give the logged value of the first one"
        )
    return sum(right for _, right in scores)
