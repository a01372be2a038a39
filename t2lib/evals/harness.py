"""Logs of EleutherAI's lm-evaluation-harness: one file of samples to what a curve needs.

Read are the files ``samples_TASK_DATE.jsonl`` that ``--log_samples`` writes since version 0.4.3
(checked against the source of 0.4.4, 0.4.9 and 0.4.13): a JSON object a line, a line a question and
filter, with ``doc_id, doc, target, arguments, resps, filtered_resps``, in later versions ``filter``
and ``metrics``, and the metrics' own values. Versions 0.4.0 to 0.4.2 wrote the same objects as one
indented list, ``MODELARGS_TASK.jsonl``; the task is then the one that ``results.json`` names.

What is taken from a line:

* **multiple choice and log-likelihood tasks**: the log-likelihood of the right answer as a whole
  (not per token), ``-nll``. Which choice is right is nowhere said outright. ``target`` is its
  number or its text; where ``acc`` is logged, the reading must agree with it on every line (the
  likeliest choice is the right one just where ``acc`` is 1), or the file is refused. Where all
  choices have one continuation and differ in the context (Winogrande), ``acc`` alone decides
  between two.
* **generate-until tasks**: the number of responses n and of right ones c. The harness logs one
  value of a metric a line. It gives c where it scored every response: with n = 1; as the share
  c / n, which ``exact_match`` is behind a ``take_first_k`` filter and ``pass@1`` by definition; as
  a list of n values; or as pass@k at larger k, of which there is one c for each value but 1. Where
  it scored the first response only (``take_first``), the others are scored here, by the task's own
  settings in the results file beside the log (:mod:`t2lib.evals.rescoring`), and every first
  response must come out as logged. A majority vote, or any other value, does not say how many were
  right.

The results file of a log's date also says with which settings a task was run, and of which revision
of a model: what must be the same at every checkpoint is kept as :attr:`Answers.facts`.

What cannot be known is refused, never guessed.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn, Protocol

import numpy as np
import numpy.typing as npt

from t2lib._checks import DataError, clip, counted, parse_json
from t2lib.data.tables import json_lines
from t2lib.evals.rescoring import KNOWN, Scorer, math_rules, scorer
from t2lib.evals.settings import fingerprint, generation
from t2lib.passk import pass_at_k

_LARGEST_RESULTS = 64 * 2**20  # bytes
_FILE_NAME = re.compile(
    r"samples_(.+?)(?:_(\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d(?:\.\d+)?))?(?i:\.jsonl(?:\.gz|\.zst)?)"
)
# Metrics that say of a response whether it is right, in the order in which they are taken.
RIGHT_OR_WRONG = ("exact_match", "pass@1", "pass_at_1", "acc", "em", "prompt_level_strict_acc")
_PASS_AT = re.compile(r"pass(?:@|_at_)(\d{1,9})")
_REPEATABLE = ("exact_match", "math_verify")  # what can be scored anew, by rules that are known
_SETTINGS = "settings"
_UNTOLD = (
    "questions with all responses right, or all but one, which pass@k at larger k does not tell "
    "apart (all are taken to be right)"
)


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
    # What must be the same at every checkpoint of a task, as far as it is known: name and value.
    facts: dict[str, str] = field(default_factory=dict)
    questions: Sequence[Any] | npt.NDArray[Any] | None = None  # their names, where they are known
    # Remarks on questions and their number, which is summed over checkpoints.
    counted: dict[str, int] = field(default_factory=dict)

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
        Where the name is not ``samples_TASK_DATE.jsonl``, and ``results.json`` beside it has no
        task that the name ends with.
    """
    task = named_task(path)
    if not task:
        raise DataError(
            f"{path}: a harness log must be named samples_TASK_DATE.jsonl, or "
            "MODELARGS_TASK.jsonl with results.json beside it"
        )
    if re.search("[\ud800-\udfff]", task):
        raise DataError(f"{path}: the task's name is not UTF-8 text")
    return task


def _older_task(path: Path) -> str:
    """Return the task in a name of 0.4.0 to 0.4.2, MODELARGS_TASK.jsonl."""
    tasks = _inside(_beside(path), "configs") or {}
    found = [str(task) for task in tasks if path.name.endswith(f"_{task}.jsonl")]
    return max(found, key=len, default="")


def is_named_log(path: Path) -> bool:
    """Tell by its name, and for an older one results.json, whether a file is a log of samples."""
    return bool(named_task(path))


def named_task(path: Path) -> str:
    """Return the task in a log's name, whatever its characters; empty where there is none."""
    match = _FILE_NAME.fullmatch(path.name)
    return match[1] if match else _older_task(path)


def as_folder(name: str) -> str:
    """Return a model's name as the harness writes it into a folder's name.

    Examples
    --------
    >>> as_folder("/mnt/ck//small[1]")
    '__mnt__ck__small__1__'
    """
    return re.sub(r'["<>:/|\\?*\[\]]+', "__", name)


def date_of(path: Path) -> str:
    """Return the date in a log's name; empty where there is none."""
    match = _FILE_NAME.fullmatch(path.name)
    return (match[2] or "") if match else ""


def read_samples(
    path: Path, metric: str = "", filter_name: str = ""
) -> tuple[list[Answers], list[str]]:
    """Read one log of samples, line by line.

    Parameters
    ----------
    path : Path
        ``samples_TASK_DATE.jsonl``.
    metric : str
        Which logged value says whether a generated response is right; by default the first of
        ``RIGHT_OR_WRONG`` that is there, or pass@k at larger k.
    filter_name : str
        The filter of a generate-until task to read; all by default.

    Returns
    -------
    list of Answers
        One, or one a filter where a generate-until task has several that score every response;
        their task is then named ``TASK,FILTER``, as in the harness's own tables.
    list of str
        One line for each choice that was made, and each filter that was left out because it does
        not say how many were right.

    Raises
    ------
    DataError
        ``FILE: row R, column C: what is wrong``, at the first fault.
    """
    task = task_of(path)
    content = _content(path)
    log = _Log(path, task, _inside(content, "configs", task), metric, filter_name)
    for number, row in json_lines(path):
        log.add(number, row)
    log.close(_inside(content, "n-samples", task, "effective"))
    facts = settings_of(path)
    if log.kind == "likelihood":
        found, notes = [Answers(task, nll=log.right_nll())], list[str]()
    else:
        found, notes = log.counts()
    for answers in found:
        answers.facts = facts | answers.facts | {"questions": fingerprint(log.questions)}
    return found, notes


# --- what lies beside a log -----------------------------------------------------------------------


def results_file(path: Path) -> Path:
    """Return where the results of a log are, or would be.

    ``results_DATE.json``; or ``NAME_DATE.json``, which ``--output_path NAME.json`` makes; or
    ``results.json`` for a log without a date.
    """
    date = date_of(path)
    usual = path.with_name(f"results_{date}.json" if date else "results.json")
    if date and not usual.is_file():
        others = [other for other in path.parent.glob(f"*_{date}.json") if other.is_file()]
        if len(others) == 1:
            return others[0]
    return usual


def run_parts(path: Path) -> tuple[str, ...]:
    """Return what, besides its folders, may name a log's run.

    That is NAME of ``--output_path NAME.json``, the model's arguments in an older log's name, and
    the revision of the model that the results file tells.
    """
    parts: list[str] = []
    date, file = date_of(path), results_file(path)
    if date and file.name != f"results_{date}.json" and file.is_file():
        parts.append(file.name.removesuffix(f"_{date}.json"))
    settings = _older_settings(path)
    parts += [one.split("__", 1)[1] for one in settings if one.startswith("pretrained__")]
    return (*parts, *filter(None, [revision_of(path)]))


def revision_of(path: Path) -> str:
    """Return the revision of the model, as the results file or an older name tells; or nothing."""
    older = [one.split("__", 1)[1] for one in _older_settings(path) if "revision__" in one[:10]]
    found = older[0] if older else _revision(_beside(path))
    return found if found != "main" else ""


def _older_settings(path: Path) -> list[str]:
    """Return the model's arguments in a name of 0.4.0 to 0.4.2: KEY__VALUE each."""
    if _FILE_NAME.fullmatch(path.name) or not (task := _older_task(path)):
        return []
    return path.name.removesuffix(f"_{task}.jsonl").split(",")


def _revision(content: Any) -> str:
    arguments = _inside(content, "config", "model_args")
    if isinstance(arguments, str):
        pairs = (one.split("=", 1) for one in arguments.split(",") if "=" in one)
        arguments = {key.strip(): value for key, value in pairs}
    found = _inside(arguments, "revision")
    return found if isinstance(found, str) else ""


def parameters_of(path: Path) -> float | None:
    """Return the model's number of parameters that the results file tells; None where it does not.

    The older harness, without a date, overwrote results.json with those of the next run.
    """
    found = _inside(_content(path), "config", "model_num_parameters") if date_of(path) else None
    return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else None


def settings_of(path: Path) -> dict[str, str]:
    """Return the settings of a log's run that its results file tells.

    The older harness, without a date, overwrote results.json with those of the next run.
    """
    return _facts(_beside(path), named_task(path)) if date_of(path) else {}


def groups_of(path: Path) -> dict[str, str]:
    """Return, for tasks of a log's run, the group that they are parts of.

    A group is the outermost one whose tasks bear its name, as mmlu_algebra, and were all asked and
    scored in one way; leaderboard, which holds tasks of any kind, is none.
    """
    content = _beside(path)
    groups = _inside(content, "group_subtasks")
    if not isinstance(groups, dict):
        return {}
    shots, found = _inside(content, "n-shot"), dict[str, str]()
    members = {group: _leaves(groups, group, 0) for group in groups}
    for group, tasks in sorted(members.items(), key=lambda item: -len(item[1])):
        if len(tasks) > 1 and all(task.startswith(f"{group}_") for task in tasks):
            kinds = {
                (str(_inside(content, "configs", x, "output_type")), str(_inside(shots, x)))
                for x in tasks
            }
            found = (dict.fromkeys(tasks, group) if len(kinds) < 2 else {}) | found
    return found


def _leaves(groups: Any, name: str, depth: int) -> list[str]:
    """Return the tasks below a group, however deep."""
    inner = _inside(groups, name)
    if not isinstance(inner, list) or not inner or depth > 8:
        return [] if depth == 0 else [name]
    names = [one for one in inner if isinstance(one, str)]
    return [task for one in names for task in _leaves(groups, one, depth + 1)]


def _beside(path: Path) -> Any:
    """Return :func:`_content` where it can be read: whoever reads the log says what is wrong."""
    try:
        return _content(path)
    except (DataError, OSError):
        return None


def _content(path: Path) -> Any:
    """Return what a log's results file holds; None where there is none."""
    file = results_file(path)
    if file.is_symlink() or not file.is_file() or file.stat().st_size > _LARGEST_RESULTS:
        return None
    return _parsed(file, file.stat().st_mtime_ns)


@lru_cache(maxsize=32)  # the logs of a run share one
def _parsed(file: Path, _changed: int) -> Any:
    return parse_json(file.read_bytes(), str(file))


def _facts(content: Any, task: str) -> dict[str, str]:
    """Return the settings of a task's run that its results file tells."""
    found = {}
    for name, key in {"n-shot": "n-shot", "task version": "versions"}.items():
        if (value := _inside(content, key, task)) is not None:
            found[name] = clip(str(value))
    if isinstance(content, dict):
        for name, key in {
            "chat template": "chat_template_sha",
            "system instruction": "system_instruction_sha",
        }.items():
            if key in content:
                found[name] = str(content[key])[:8] if content[key] else "none"
    return found


def _inside(content: Any, *keys: str) -> Any:
    for key in keys:
        content = content.get(key) if isinstance(content, dict) else None
    return content


# --- the lines ------------------------------------------------------------------------------------


@dataclass
class _Filter:
    """What one filter's lines say about a generate-until task."""

    n_samples: list[int] = field(default_factory=list)
    unknown: str = ""  # why its counts cannot be known
    where: str = ""
    # Ways to score what the harness did not, and the counts by each that gave all it did log.
    rules: dict[str, Scorer] = field(default_factory=dict)
    n_correct: dict[str, list[int]] = field(default_factory=dict)
    rescored: bool = False
    metric: str = ""  # the one taken, and those logged beside it
    others: tuple[str, ...] = ()
    settings: dict[str, str] = field(default_factory=dict)  # of generation
    untold: int = 0  # questions whose c the logged values leave open between two


class _Log:
    """What has been read of a file so far."""

    def __init__(self, path: Path, task: str, config: Any, metric: str, only: str) -> None:
        self.path = path
        self.task = task
        self.config = config
        self.metric = metric
        self.only = only
        self.questions: list[str] = []  # a hash of each
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
        if key[0] == next(iter(self.seen))[0]:  # every filter has the same questions
            self.questions.append(_identity(row))
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
        """Questions of one task are alike: their documents share fields, some may be optional."""
        document = row.get("doc")
        keys = document.keys() if isinstance(document, dict) else set()
        if len(self.seen) == 1:
            self.keys = set(keys)
        elif keys != self.keys and not keys & self.keys:
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
            elif math.isinf(requests[choice][2]):
                what = "the right answer's log-likelihood is -inf: its loss is not finite"
                self.out[way] = f"{self.at}, column resps: {what}"
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
        if self.only and name != self.only:
            return
        texts = _responses(row, self._fail)
        if name not in self.filters:
            self.filters[name] = self._filter(name, row)
        found = self.filters[name]
        if found.unknown:
            return
        try:
            self._count(row, texts, found)
        except _UnknownError as error:
            found.unknown = str(error)
            found.where = self.at
        else:
            found.n_samples.append(len(texts))

    def _filter(self, name: str, row: dict[str, Any]) -> _Filter:
        settings = KNOWN.get(self.task) if self.config is None else self.config
        score = scorer(settings, name)
        rules = {_SETTINGS: score} if score else math_rules(self.task)
        counts: dict[str, list[int]] = {rule: [] for rule in rules or [""]}
        found = _Filter(rules=rules, n_correct=counts, settings=_generation(row))
        self._choose_metric(row, found)
        return found

    def _choose_metric(self, row: dict[str, Any], found: _Filter) -> None:
        logged = row.get("metrics")
        names = [str(name) for name in logged] if isinstance(logged, list) else []
        wanted = [self.metric] if self.metric else list(RIGHT_OR_WRONG)
        found.metric = next((name for name in wanted if name in row), "")
        if not found.metric and not self.metric and any(map(_PASS_AT.fullmatch, row)):
            found.metric = "pass@k"
        if not found.metric:
            there = clip(", ".join(names) or "unknown names")
            hint = "" if self.metric else "; another is taken with --metric"
            self._fail(
                "metrics", f"none of {', '.join(wanted)} is logged (there is: {there}){hint}"
            )
        same = _PASS_AT.fullmatch if found.metric == "pass@k" else found.metric.__eq__
        found.others = tuple(name for name in names if name in row and not same(name))

    def _count(self, row: dict[str, Any], texts: list[str], found: _Filter) -> None:
        """Count a line's right responses."""
        n, metric = len(texts), found.metric
        filtered = row.get("filtered_resps")
        first = filtered[0] if isinstance(filtered, list) and len(filtered) == 1 else None
        scored = len(first) if isinstance(first, list) else 1
        known: int | None = None
        if metric == "pass@k" and scored == n:
            known, untold = self._inverted(row, n)
            found.untold += untold
        elif metric != "pass@k":
            known = self._logged(row, n, scored, metric)
        if known is None and scored == 1 and metric in _REPEATABLE and found.rules:
            self._rescore(row, texts, (first, bool(row[metric])), found)
            return
        if known is None:
            raise _UnknownError(
                f"column {metric}: scores {scored} of {n} responses: which of the others are right "
                f"is not in the log; {self._advice()}"
            )
        for counts in found.n_correct.values():
            counts.append(known)

    def _logged(self, row: dict[str, Any], n: int, scored: int, metric: str) -> int | None:
        """Return how many of n responses are right by the logged value, where it says so."""
        value = row.get(metric)
        if isinstance(value, list):
            if len(value) != n or any(one not in (0, 1) for one in value):
                self._fail(metric, f"want {n} values, each 0 or 1")
            return sum(int(one) for one in value)
        if not isinstance(value, bool | int | float) or not 0 <= value <= 1:
            self._fail(metric, f"{clip(repr(value))} is not between 0 and 1")
        if n > 1 and _is_list(row.get("target")):
            raise _UnknownError(
                f"column {metric}: several right answers, 1 says that any was given"
            )
        return _whole(value, n, metric, self._fail) if scored == n else None

    def _advice(self) -> str:
        """Say what helps where only the first response was scored."""
        if self.config is None:
            name = results_file(self.path).name
            return f"put {name} beside the log: it holds how the task scores an answer"
        return (
            "score each response on its own by the task's process_results, and give a table with "
            "n_samples and n_correct of each question"
        )

    def _inverted(self, row: dict[str, Any], n: int) -> tuple[int, bool]:
        """Find c by pass@k at larger k; and whether n - 1 would give the same values."""
        told = {int(m[1]): row[m[0]] for m in map(_PASS_AT.fullmatch, row) if m}
        ks = [k for k in told if k <= n]
        fits = np.ones(n + 1, dtype=bool)
        for k in ks:
            name = f"pass@{k}"
            if isinstance(told[k], bool) or not isinstance(told[k], int | float):
                self._fail(name, f"{clip(repr(told[k]))} is not between 0 and 1")
            fits &= np.abs(pass_at_k(n, np.arange(n + 1), k) - told[k]) < 1e-9
        found = np.flatnonzero(fits)
        if not ks or not len(found):
            self._fail("pass@k", f"no number of right ones among {n} has the values logged")
        if len(found) > 2:
            raise _UnknownError(
                f"column pass@{min(ks)}: {found[0]} to {found[-1]} right responses of {n} have the "
                "values logged"
            )
        return int(found[-1]), len(found) > 1

    def _rescore(
        self, row: dict[str, Any], texts: list[str], logged: tuple[Any, bool], found: _Filter
    ) -> None:
        """Score every response; the first must come out as the harness logged it."""
        found.rescored = True
        for rule, score in list(found.rules.items()):
            scores = [score(text, _wanted(row, rule)) for text in texts]
            found.n_correct[rule].append(sum(right for _, right in scores))
            if scores[0] != logged:
                del found.rules[rule], found.n_correct[rule]
        if not found.rules:
            whose = f"{self.task}'s usual rule" if self.config is None else "the task's settings"
            raise _UnknownError(
                f"column {found.metric}: scores 1 of {len(texts)} responses, and {whose} as it is "
                f"known here does not give the logged value of the first one; {self._advice()}"
            )

    def counts(self) -> tuple[list[Answers], list[str]]:
        if not self.filters:
            there = clip(", ".join(dict.fromkeys(name for name, _ in self.seen)))
            raise DataError(f"{self.path}: no filter named {self.only!r} (there is: {there})")
        known = {name: found for name, found in self.filters.items() if not found.unknown}
        if not known:
            first = next(iter(self.filters.values()))
            raise DataError(f"{first.where}, {first.unknown}")
        answers, notes = [], []
        for name, found in self.filters.items():
            label = self.task if len(known) == 1 else f"{self.task},{name}"
            if found.unknown:
                notes.append(f"task {self.task}: filter {name} left out: {found.unknown}")
                continue
            notes += self._choices(label, found)
            facts = {"filter": name, "metric": found.metric} | found.settings
            # Of several ways that gave every logged value the likelier one comes first.
            n, c = np.array(found.n_samples), np.array(next(iter(found.n_correct.values())))
            facts = {key: value for key, value in facts.items() if value}
            counted = {_UNTOLD: found.untold} if found.untold else {}
            ids = [question for given, question in self.seen if given == name]
            answers.append(Answers(label, None, n, c, facts, ids, counted))
        if len(known) > 1:
            names = " and ".join(filter(None, [", ".join([*known][:-1]), [*known][-1]]))
            notes.append(
                f"task {self.task}: scored by the filters {names}, each a task of its own here; "
                "--filter takes one"
            )
        return answers, notes

    def _choices(self, label: str, found: _Filter) -> list[str]:
        """Say which value was taken, and what was done to get at every response."""
        notes = []
        if found.others:
            others = clip(", ".join(found.others))
            notes.append(
                f"task {label}: right is what {found.metric} says; logged too: {others}; --metric "
                "takes another"
            )
        if found.rescored:
            notes.append(
                f"task {label}: the harness scored each question's first response; the others "
                f"are scored by {self._whose(next(iter(found.rules)))}"
            )
        return notes

    def _whose(self, rule: str) -> str:
        if rule != _SETTINGS:
            return (
                f"{rule}, compared as text and as a number; what only algebra shows to be equal "
                "counts as wrong"
            )
        whose = "read from the results file" if self.config else "the usual ones of this task"
        return f"the same settings, {whose}"

    def close(self, expected: Any) -> None:
        """Check the file as a whole: not empty, no question lost, every filter complete."""
        if not self.seen:
            raise DataError(f"{self.path}: the log is empty")
        filters: dict[str, int] = {}
        for name, _ in self.seen:
            filters[name] = filters.get(name, 0) + 1
        if len(set(filters.values())) > 1:
            raise DataError(f"{self.path}: filters differ in their questions: is the log cut off?")
        number = next(iter(filters.values()))
        if isinstance(expected, int) and number != expected:
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
    if math.isnan(loglikelihood):  # -inf is well for a wrong choice
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


def _responses(row: dict[str, Any], fail: Fail) -> list[str]:
    """Return the texts that were generated for a question."""
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
    return texts


def _generation(row: dict[str, Any]) -> dict[str, str]:
    """Return the settings by which a row's texts were generated, the texts that end one included.

    The seed is left out: checkpoints that were sampled with other seeds compare as well as with
    the same one, and most tools draw a new one for each run.
    """
    arguments = _arguments(row)
    if not arguments or len(arguments[0]) < 2 or not isinstance(arguments[0][1], dict):
        return {}
    given = {name: value for name, value in arguments[0][1].items() if name != "seed"}
    if isinstance(stops := given.get("until"), str):
        given["until"] = [stops]
    elif isinstance(stops, list):
        given["until"] = sorted(map(str, stops))  # any of them ends a text
    return generation(given)


def _wanted(row: dict[str, Any], rule: str) -> str:
    """Return the right answer: of mathematics the document's, since target may be its solution."""
    document = row.get("doc")
    if rule != _SETTINGS and isinstance(document, dict):
        return str(document.get("answer", document.get("Answer", row["target"])))
    return str(row["target"])


def _identity(row: dict[str, Any]) -> str:
    """Return what tells a question from others: the log's own hash of it, or one of its fields."""
    if isinstance(row.get("doc_hash"), str):
        return str(row["doc_hash"])
    fields = json.dumps(row.get("doc"), sort_keys=True, default=str)
    return hashlib.sha256(fields.encode("utf-8", "surrogatepass")).hexdigest()


def _whole(share: float, n: int, metric: str, fail: Fail) -> int:
    correct = round(share * n)
    if abs(share * n - correct) > 1e-6 * n:
        fail(metric, f"{share} is not a share of {counted(n, 'response')}")
    return correct
