"""Programs that were run against tests: the results of human-eval, EvalPlus and bigcode.

* OpenAI's human-eval writes ``SAMPLES.jsonl_results.jsonl``: a line a sample, with ``task_id``
  (``HumanEval/0``) and ``passed``. n is the number of a question's lines, c the number that passed.
* EvalPlus writes ``SAMPLES_eval_results.json`` (or ``eval_results.json``): under ``eval`` and a
  question's name, up to 0.2 an object with lists ``base`` and ``plus`` of [status, details], since
  0.3 a list of samples with ``base_status`` and ``plus_status``. With the base tests it is one
  task, with the added tests as well, both passed, another, named ``TASK+``.
* The bigcode harness writes ``logs.json`` for HumanEvalPack: of each question the list of
  [number, {"passed": ...}]. It names neither the task nor the run.

A run is named by its folder, as everywhere, or by the file: its name without these endings.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from t2lib._checks import DataError, clip
from t2lib.data.tables import json_lines
from t2lib.evals.tally import (
    Logged,
    Tally,
    beginning,
    entries,
    first_line,
    json_document,
    right_or_wrong,
    text,
)

_PASSED = ("pass", "success")  # EvalPlus since 0.2, and before
_EVALPLUS = re.compile(r"(?:.*_)?eval_results\.json")


def is_human_eval(path: Path) -> bool:
    """Tell whether a file holds a line with task_id and passed for each sample."""
    return {"task_id", "passed"} <= first_line(path).keys()


def read_human_eval(path: Path) -> Logged:
    """Count a question's samples, and those that passed."""
    tally = Tally()
    for number, row in json_lines(path):
        where = f"{path}: row {number}, column"
        question = text(row.get("task_id"), f"{where} task_id")
        right = right_or_wrong(row.get("passed"), f"{where} passed")
        tally.add(_task(question, path), question, right)
    return Logged(tally.answers(path), run=path.name.split(".jsonl")[0])


def _task(question: str, path: Path) -> str:
    """Return what stands before the slash of HumanEval/0, else the file's name."""
    before, slash, _ = question.rpartition("/")
    return before if slash and before else path.name.split(".")[0]


def results_of(path: Path) -> Path | None:
    """Return the results file beside a file of samples that were not tested yet, if there is one.

    Both tools leave SAMPLES.jsonl where it was, and write what they found beside it.
    """
    if not path.name.endswith(".jsonl") or "passed" in first_line(path):
        return None
    names = (f"{path.name}_results.jsonl", f"{path.stem}_eval_results.json")
    return next((path.with_name(one) for one in names if path.with_name(one).is_file()), None)


def is_evalplus(path: Path) -> bool:
    """Tell by its name, and an entry ``eval``, whether a file is EvalPlus's."""
    return bool(_EVALPLUS.fullmatch(path.name)) and b'"eval"' in beginning(path)


def read_evalplus(path: Path) -> Logged:
    """Count the samples that pass the base tests, and those that pass the added ones too."""
    content = json_document(path)
    questions = content.get("eval") if isinstance(content, dict) else None
    tally = Tally()
    for name, samples in (questions if isinstance(questions, dict) else {}).items():
        where = f"{path}: eval, {clip(name)}"
        base, plus = _statuses(samples, where)
        task = _task(name, path)
        tally.add(task, name, sum(base), len(base))
        if plus is not None:
            both = sum(first and second for first, second in zip(base, plus, strict=True))
            tally.add(f"{task}+", name, both, len(base))
    _require_whole(tally, path)
    run = path.name.removesuffix("eval_results.json").removesuffix("_")
    return Logged(tally.answers(path), run=run)


def _statuses(samples: Any, where: str) -> tuple[list[bool], list[bool] | None]:
    """Return what passed of a question's samples: base tests, and added ones if they were run."""
    if isinstance(samples, dict):
        base = [one[0] if isinstance(one, list) and one else one for one in samples.get("base", [])]
        plus = [one[0] if isinstance(one, list) and one else one for one in samples.get("plus", [])]
    elif isinstance(samples, list) and all(isinstance(one, dict) for one in samples):
        base = [one.get("base_status") for one in samples]
        plus = [one.get("plus_status") for one in samples]
        plus = [] if all(one is None for one in plus) else plus
    else:
        raise DataError(f"{where}: neither a list of samples nor base and plus")
    if not base or (plus and len(plus) != len(base)):
        raise DataError(f"{where}: {len(base)} samples on base tests, {len(plus)} on added ones")
    for number, status in enumerate([*base, *plus]):
        # No status: the checker could not tell, and EvalPlus counts it as wrong.
        if not isinstance(status, str | None):
            what = f"{clip(repr(status))} is no status"
            raise DataError(f"{where}, sample {number % len(base) + 1}: {what}")
    return [one in _PASSED for one in base], [one in _PASSED for one in plus] if plus else None


def _require_whole(tally: Tally, path: Path) -> None:
    """Refuse added tests that were run on a part of the questions."""
    for task, questions in tally.tasks.items():
        added = tally.tasks.get(f"{task}+", questions)
        if len(added) != len(questions):
            what = f"{len(added)} of {len(questions)} questions have results of the added tests"
            raise DataError(f"{path}: task {clip(task)}: {what}")


def is_bigcode(path: Path) -> bool:
    """Tell whether a file is the list of test runs that HumanEvalPack leaves."""
    if path.suffix != ".json" or "logs" not in path.stem:
        return False
    start = beginning(path)
    return start.lstrip()[:1] == b"{" and b'"completion_id"' in start


def read_bigcode(path: Path) -> Logged:
    """Count a question's test runs, and those that passed."""
    tally = Tally()
    task = "humanevalpack" if path.stem == "logs" else path.stem
    content = json_document(path)
    for (where, runs), question in zip(entries(content, str(path)), content, strict=True):
        for place, run in entries(runs, where):
            result = run[1] if isinstance(run, list) and len(run) == 2 else None
            passed = result.get("passed") if isinstance(result, dict) else None
            tally.add(task, str(question), right_or_wrong(passed, f"{place}, passed"))
    unnamed = ["logs.json of the bigcode harness names no task: it is called humanevalpack"]
    return Logged(tally.answers(path), unnamed if path.stem == "logs" else [])
