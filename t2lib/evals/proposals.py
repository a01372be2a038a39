"""What logs say of their runs: the beginning of a runs file, for a person to complete.

N is what the lm-evaluation-harness counted, ``model_num_parameters`` in ``results_*.json``. D is
read from a run's name: tokens, as in ``300B-tokens`` or ``tokens300B``, or a step, as in
``step1000``, times the tokens of a step where those are given. Nothing else is concluded: a size in
a name is quoted in a remark, and what is not known is left empty, so that ``t2 fit`` refuses the
file until somebody has filled it in.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from t2lib._checks import DataError, clip, counted
from t2lib.data.tables import chunks
from t2lib.evals import harness
from t2lib.evals.columns import header_of
from t2lib.evals.importers import READERS, logs_of
from t2lib.evals.runs import number

_TOKENS = re.compile(
    r"(?<![\w.])(\d+(?:\.\d+)?[MBT])[-_ ]?tokens?\b|\btokens?[-_ ]?(\d+(?:\.\d+)?[MBT])\b", re.I
)
_STEP = re.compile(
    r"(?:(?<=global)|(?<![a-z]))[-_]?(?:step|iter)s?[-_ ]?(\d+)(k?)(?![a-z0-9])", re.I
)
_SIZE = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?[MBT])(?![\w.]|[-_ ]?tokens?)", re.I)
_NAMED_BY_TASK = ("lm-evaluation-harness", "bigcode", "OLMES", "HELM", "lighteval")  # their files
_EXAMPLES = re.compile(r"\d+-?shot")


@dataclass(frozen=True)
class Proposal:
    """A run as its logs present it.

    Attributes
    ----------
    name : str
        As in the logs' path, or in the logs themselves.
    logs : int
    n_params, n_tokens : float or None
        None where the logs do not say.
    n_remark, d_remark : str
        Where each is from, or what a person should look for.
    model : str
        The name without its step or tokens: checkpoints of one training run.
    """

    name: str
    logs: int
    n_params: float | None
    n_remark: str
    n_tokens: float | None
    d_remark: str
    model: str


def propose_runs(paths: Sequence[Path], tokens_per_step: float | None = None) -> list[Proposal]:
    """Return the runs whose logs lie in files and folders, in the order of their names.

    Parameters
    ----------
    paths : sequence of Path
    tokens_per_step : float, optional
        Tokens that a training step saw, of every run.

    Raises
    ------
    DataError
        Where there are no logs that want a runs file.
    """
    found: dict[str, list[Path]] = {}
    for path, folders in logs_of(paths):
        for name in _names(path, folders):
            found.setdefault(name, []).append(path)
    if not found:
        raise DataError(f"{paths[0]}: no logs without N and D: no runs file is needed")
    return [_proposal(name, found[name], tokens_per_step) for name in sorted(found)]


def _names(path: Path, folders: tuple[str, ...]) -> list[str]:
    """Return the name of a log's run; of a table without N the names of its models."""
    tool, reader = next((name, one) for name, one in READERS.items() if one.sniff(path))
    if tool == "table":
        header = header_of(path)
        if "n_params" in header or "model" not in header:
            return []
        models = (chunk["model"].dropna().unique() for chunk in chunks(path, ["model"], []))
        return sorted({str(name) for some in models for name in some})
    inner = [part for part in folders[1:] if not _EXAMPLES.fullmatch(part)]
    if path.suffix in (".yaml", ".yml"):  # in a folder for each task
        inner = inner[:-1]
    own = "" if tool in _NAMED_BY_TASK else re.split(r"\.jsonl|_eval_results", path.name)[0]
    return [reader.run(path) or "/".join(inner) or own or folders[0]]


def _proposal(name: str, logs: list[Path], tokens_per_step: float | None) -> Proposal:
    sizes = {size for path in logs if (size := _counted(path)) is not None}
    said = _SIZE.findall(name)
    if len(sizes) == 1:
        n_params, n_remark = sizes.pop(), "model_num_parameters of its results file"
    elif sizes:
        shown = ", ".join(f"{size:.0f}" for size in sorted(sizes))
        n_params, n_remark = None, f"TO COMPLETE: its results files say {shown}"
    else:
        hint = f" (its name says {', '.join(said)})" if said else ""
        n_params, n_remark = None, f"TO COMPLETE: the number of parameters{hint}"
    n_tokens, d_remark = _tokens(name, tokens_per_step)
    return Proposal(name, len(logs), n_params, n_remark, n_tokens, d_remark, _model(name))


def _counted(path: Path) -> float | None:
    """Return the number of parameters that the harness counted."""
    if not harness.is_named_log(path):
        return None
    size = harness.parameters_of(path)
    return size if size and size >= 1 else None


def _tokens(name: str, tokens_per_step: float | None) -> tuple[float | None, str]:
    said = {first or second for first, second in _TOKENS.findall(name)}
    steps = {int(step) * (1000 if k else 1) for step, k in _STEP.findall(name)}
    if len(said) == 1:
        return number(said.pop()), "tokens in its name"
    if said or len(steps) > 1:
        return None, "TO COMPLETE: the tokens it was trained on: its name says several"
    if not steps:
        return None, "TO COMPLETE: the tokens it was trained on"
    (step,) = steps
    if tokens_per_step is None:
        return None, f"TO COMPLETE: step {step} times the tokens of a step (--tokens-per-step)"
    if step == 0:
        return None, "TO COMPLETE: step 0 saw no tokens: leave this run out"
    return step * tokens_per_step, f"step {step} x {tokens_per_step:g} tokens"


def _model(name: str) -> str:
    """Return a run's name without its step and tokens."""
    bare = _STEP.sub("", _TOKENS.sub("", name))
    bare = re.sub(r"[-_ ]*/[-_ ]*", "/", bare)
    return re.sub(r"/{2,}", "/", bare).strip("-_ /") or name


def as_yaml(runs: Sequence[Proposal]) -> str:
    """Write a runs file with remarks.

    Examples
    --------
    >>> run = Proposal("a-step10", 1, 1e9, "counted", None, "TO COMPLETE: the tokens", "a")
    >>> print(as_yaml([run]))  # doctest: +ELLIPSIS
    # Proposed from logs...
    runs:
      "a-step10":  # 1 log
        n_params: 1000000000  # counted
        n_tokens:  # TO COMPLETE: the tokens
        model: "a"
    """
    lines = [
        "# Proposed from logs. Check every line, fill in what is to complete. model: checkpoints",
        "# of one training run have the same. Numbers may be written 1.2e9 or 1.2B.",
        "runs:",
    ]
    for run in runs:
        lines += [
            f"  {json.dumps(run.name)}:  # {counted(run.logs, 'log')}",
            f"    n_params:{_shown(run.n_params)}  # {clip(run.n_remark, 200)}",
            f"    n_tokens:{_shown(run.n_tokens)}  # {clip(run.d_remark, 200)}",
            f"    model: {json.dumps(run.model)}",
        ]
    return "\n".join(lines)


def _shown(value: float | None) -> str:
    return "" if value is None else f" {value:.0f}"
