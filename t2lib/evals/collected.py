"""All that was read, put together: what contradicts itself or does not compare is left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from t2lib._checks import DataError, clip, counted, plain, visible
from t2lib.data.schemas import CHECKPOINT, validate
from t2lib.data.tables import WORDS
from t2lib.evals.choices import Choices
from t2lib.evals.settings import Facts, differing, half_known, in_words, larger_side, with_unset

if TYPE_CHECKING:
    import pandas as pd

Key = tuple[Any, ...]  # suite, model, task, n_params, n_tokens
CURVE = [*CHECKPOINT, "k", "n_questions", "pass_at_k", "neg_log_pass", "mean_nll"]
_MEANS = ["pass_at_k", "neg_log_pass", "mean_nll"]  # over questions


@dataclass(frozen=True)
class FewSamples:
    """A question with fewer samples than others: its name, its n, the usual n, how many have less.

    ``usual`` is the largest power of two that half of the questions reach.
    """

    question: str
    n: int
    usual: int
    below: int


@dataclass
class Read:
    """What one file came to."""

    path: Path
    curves: pd.DataFrame
    notes: list[str] = field(default_factory=list)
    # Of each checkpoint that was sampled: samples and right samples, shape (2, questions).
    counts: dict[Key, npt.NDArray[np.integer[Any]]] = field(default_factory=dict)
    facts: dict[Key, Facts] = field(default_factory=dict)
    few: dict[Key, FewSamples] = field(default_factory=dict)
    counted: dict[Key, Mapping[str, int]] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)  # of tasks
    opened: list[Path] = field(default_factory=list)  # with it


class Faults(Protocol):
    """Where faults go."""

    messages: list[str]

    def add(self, message: str) -> None:
        """Keep a fault."""


class Collected:
    """The curves of all files so far."""

    def __init__(self, notes: list[str], choices: Choices) -> None:
        self.parts: list[tuple[Path, pd.DataFrame]] = []
        self.sampled: list[tuple[Key, npt.NDArray[np.integer[Any]]]] = []
        self.facts: dict[Key, Facts] = {}
        self.few: dict[Key, FewSamples] = {}
        self.counted: dict[Key, Mapping[str, int]] = {}
        self.groups: dict[str, str] = {}
        self.apart: set[Key] = set()  # left out: they answered something else
        self.notes = [plain(note) for note in notes]
        self.left_out: list[str] = []  # notes that tell of checkpoints that are not fitted
        self.choices = choices
        self.files = 0
        self.opened: list[Path] = []

    def add(self, read: Read) -> None:
        self.files += 1
        self.opened += read.opened
        self.parts.append((read.path, read.curves))
        self.sampled += read.counts.items()
        self.facts |= read.facts
        self.few |= read.few
        self.counted |= read.counted
        self.groups |= read.groups
        notes = [plain(note) for note in read.notes]
        self.notes += [note for note in notes if note not in self.notes]

    def table(self, bad: Faults) -> pd.DataFrame:
        """Put all together; what contradicts itself is left out as a whole."""
        import pandas as pd

        if not self.parts:
            raise DataError(f"nothing could be read: {bad.messages[0]}")
        curves = pd.concat([part for _, part in self.parts], ignore_index=True)
        sizes = [len(part) for _, part in self.parts]
        curves["file"] = np.repeat([str(path) for path, _ in self.parts], sizes)
        curves = self._asked_for(curves)
        curves = self._without_lookalikes(curves, bad)
        curves = self._without_repeats(curves, bad)
        curves = self._without_mixtures(curves, bad)
        if curves.empty:
            raise DataError(f"nothing could be read: {bad.messages[0]}")
        curves = self._alike(curves)
        self._tell_few(curves)
        self._tell_counted(curves)
        curves = self._pooled(curves)
        order = ["suite", "task", "model", "n_tokens", "k"]
        curves = curves.sort_values(order, ignore_index=True)[CURVE]
        for name in WORDS:
            curves[name] = curves[name].astype(object)
        return validate(curves, "curves", "results")

    def counts(self, curves: pd.DataFrame) -> pd.DataFrame | None:
        """Put the sampled questions of the checkpoints that are in the curves into one table."""
        import pandas as pd

        kept = set(zip(*(curves[name] for name in CHECKPOINT), strict=True))
        named = (
            ((*key[:2], self._joined(key[2]), *key[3:]), counts) for key, counts in self.sampled
        )
        sampled = [(key, counts) for key, counts in named if key in kept]
        if not sampled:
            return None
        checkpoints = pd.DataFrame([key for key, _ in sampled], columns=CHECKPOINT)
        for name in WORDS:  # a word for each question would take more memory than its counts
            checkpoints[name] = checkpoints[name].astype("category")
        rows = np.repeat(np.arange(len(sampled)), [counts.shape[1] for _, counts in sampled])
        columns = {name: checkpoints[name].array.take(rows) for name in CHECKPOINT}
        n, c = np.concatenate([counts for _, counts in sampled], axis=1).astype(np.int64)
        return pd.DataFrame(columns | {"n_samples": n, "n_correct": c}, copy=False)

    def _group(self, task: str) -> str:
        return self.groups.get(task.partition(",")[0], "")

    def _joined(self, task: str) -> str:
        return self.choices.joined(task, self._group(task))

    def _asked_for(self, curves: pd.DataFrame) -> pd.DataFrame:
        """Leave out tasks that were not asked for; where none is there, they are told later."""
        there = [str(task) for task in curves["task"].unique()]
        wanted = [
            x for x in there if self.choices.wants(x, self.groups.get(x.partition(",")[0], ""))
        ]
        return curves[curves["task"].isin(wanted or there)].reset_index(drop=True)

    def _without_lookalikes(self, curves: pd.DataFrame, bad: Faults) -> pd.DataFrame:
        """Refuse a name that differs from an earlier one by what cannot be seen."""
        wrong = np.zeros(len(curves), dtype=bool)
        for column in WORDS:
            first: dict[str, str] = {}
            for name in map(str, curves[column].unique()):
                other = first.setdefault(visible(name), name)
                if other != name:
                    rows = (curves[column] == name).to_numpy(bool)
                    what = f"{clip(repr(name))} differs from {clip(repr(other))} by blanks only"
                    bad.add(f"{curves['file'][rows].iloc[0]}: column {column}: {what}")
                    wrong |= rows
        return curves[~wrong].reset_index(drop=True)

    def _without_repeats(self, curves: pd.DataFrame, bad: Faults) -> pd.DataFrame:
        """Refuse two runs with one name: a checkpoint in two files, or a model of two sizes."""
        wrong = np.zeros(len(curves), dtype=bool)
        for key, rows in curves.groupby(["suite", "model", "task", "n_tokens"], observed=True):
            files = rows["file"].unique()
            if len(files) > 1:
                what = f"{clip(str(key[1]))}, task {clip(str(key[2]))}, {key[3]:g} tokens"
                bad.add(
                    f"{files[1]}: two runs with one name: {what} is in {files[0]} too"
                    f"{_variants(*files[:2])}"
                )
                wrong[rows.index] = True
        for key, rows in curves.groupby(["suite", "model"], observed=True):
            sizes = rows["n_params"].unique()
            if len(sizes) > 1:
                file = rows["file"][rows["n_params"] == sizes[1]].iloc[0]
                what = f"{clip(str(key[1]))} has {sizes[0]:g} and {sizes[1]:g} parameters"
                bad.add(f"{file}: two runs with one name: {what}")
                wrong[rows.index] = True
        return curves[~wrong].reset_index(drop=True)

    def _without_mixtures(self, curves: pd.DataFrame, bad: Faults) -> pd.DataFrame:
        """Refuse a task that has likelihoods here and samples there: they do not compare."""
        wrong = np.zeros(len(curves), dtype=bool)
        for key, rows in curves.groupby(["suite", "task"], observed=True):
            sampled = rows["mean_nll"].isna()
            if sampled.any() and not sampled.all():
                one, other = rows["file"][sampled].iloc[0], rows["file"][~sampled].iloc[0]
                bad.add(
                    f"{one}: task {clip(str(key[1]))} has samples here and likelihoods in {other}"
                )
                wrong[rows.index] = True
        return curves[~wrong].reset_index(drop=True)

    def _alike(self, curves: pd.DataFrame) -> pd.DataFrame:
        """Keep of each task the checkpoints that answered the same, in the same way."""
        for keys in _by_task(curves).values():
            facts = with_unset([self.facts.get(key, {}) for key in keys])
            kept = [True] * len(keys)
            task = f"task {clip(str(keys[0][2]))}"
            if found := differing(facts):
                told = f"{task}: checkpoints differ in {in_words(found)}"
                if self.choices.mix:
                    told += "; all are fitted together, as asked"
                else:
                    kept = larger_side(facts)
                    told += (
                        f"; left out are {len(kept) - sum(kept)}, fitted are the {sum(kept)} with "
                        f"{_side(found, facts[kept.index(True)])}, --mix fits all"
                    )
                    self.left_out.append(plain(told))
                self.notes.append(plain(told))
            self.apart |= {key for key, is_kept in zip(keys, kept, strict=True) if not is_kept}
            fitted = [one for one, is_kept in zip(facts, kept, strict=True) if is_kept]
            if unknown := half_known(fitted):
                self.notes.append(plain(f"{task}: {unknown}"))
        if not self.apart:
            return curves
        keep = [key not in self.apart for key in _keys(curves)]
        return curves[keep].reset_index(drop=True)

    def _tell_few(self, curves: pd.DataFrame) -> None:
        """Say of each task which question cuts its curves, and where."""
        for keys in _by_task(curves).values():
            few = {key: self.few[key] for key in keys if key in self.few}
            if not few:
                continue
            key, one = min(few.items(), key=lambda item: item[1].n)
            k = 2 ** int(np.log2(one.n))
            at = f"; so it is at {len(few)} checkpoints" if len(few) > 1 else ""
            self.notes.append(
                plain(
                    f"task {clip(str(key[2]))}: question {clip(one.question)} has "
                    f"{counted(one.n, 'sample')} at {clip(str(key[1]))}, {key[4]:g} tokens, where "
                    f"most have {one.usual} or more: k stops at {k} there{at}; "
                    f"--min-samples {one.usual} leaves out questions with fewer, {one.below} there"
                )
            )

    def _tell_counted(self, curves: pd.DataFrame) -> None:
        """Sum remarks on single questions over the checkpoints of a task."""
        for keys in _by_task(curves).values():
            total: Counter[str] = Counter()
            where: Counter[str] = Counter()
            for key in keys:
                total.update(self.counted.get(key, {}))
                where.update(dict.fromkeys(self.counted.get(key, {}), 1))
            for remark, number in total.items():
                at = f"{number}, at {where[remark]} of {len(keys)} checkpoints"
                self.notes.append(plain(f"task {clip(str(keys[0][2]))}: {remark}: {at}"))

    def _pooled(self, curves: pd.DataFrame) -> pd.DataFrame:
        """Join the questions of tasks that belong together."""
        import pandas as pd

        names = {str(task): self._joined(str(task)) for task in curves["task"].unique()}
        members: dict[str, list[str]] = {}
        for task, name in names.items():
            members.setdefault(name, []).append(task)
        self._require_members(names)
        pools = {name: tasks for name, tasks in members.items() if tasks != [name]}
        if not pools:
            return curves
        parts = [curves[~curves["task"].isin([x for tasks in pools.values() for x in tasks])]]
        for name, tasks in pools.items():
            parts.append(self._pool(name, tasks, curves[curves["task"].isin(tasks)]))
        return pd.concat(parts, ignore_index=True)

    def _require_members(self, names: Mapping[str, str]) -> None:
        """Refuse a pool that was asked for and that no task belongs to."""
        filled = {name.partition(",")[0] for name in names.values()}
        for pool, patterns in self.choices.pools.items():
            if pool not in filled:
                like, there = clip(", ".join(patterns)), clip(", ".join(names), 200)
                raise DataError(f"pool {clip(pool)}: no task is called {like} (there is: {there})")

    def _pool(self, name: str, tasks: list[str], rows: pd.DataFrame) -> pd.DataFrame:
        """Return a pool's curves: means over all questions, where all its tasks were answered."""
        sampled = rows["mean_nll"].isna()
        if sampled.any() and not sampled.all():
            raise DataError(f"pool {clip(name)}: some of its tasks have samples, some likelihoods")
        run = [x for x in CHECKPOINT if x != "task"]
        answered = rows.groupby(run, observed=True)["task"].transform("nunique")
        whole = rows[answered == len(tasks)]
        every = whole.groupby([*run, "k"], observed=True)["task"].transform("nunique")
        whole = whole[every == len(tasks)]
        lost = len(rows[run].drop_duplicates()) - len(whole[run].drop_duplicates())
        if whole.empty:
            raise DataError(f"pool {clip(name)}: no checkpoint answered all of its tasks")
        weights = whole["n_questions"]
        sums = whole[_MEANS].mul(weights, axis=0).assign(n_questions=weights)
        keys = [whole[x] for x in [*run, "k"]]
        found = sums.groupby(keys, sort=False, observed=True).sum(min_count=1).reset_index()
        found[_MEANS] = found[_MEANS].div(found["n_questions"], axis=0)
        numbers = rows.groupby("task", observed=True)["n_questions"].max()
        each = ", ".join(f"{task} {int(numbers[task])}" for task in sorted(tasks))
        lacking = counted(lost, "checkpoint")
        out = f"; left out: {lacking} without some of them" if lost else ""
        is_asked = name.partition(",")[0] in self.choices.pools
        advice = "" if is_asked else "; --no-pool keeps the tasks of a group apart"
        told = plain(f"task {name} joins the questions of {len(tasks)} tasks ({each}){out}{advice}")
        self.notes.append(told)
        self.left_out += [told] * (lost > 0)
        return found.assign(task=name)


def _side(found: Mapping[str, Counter[str]], facts: Facts) -> str:
    """Name what one side has in common of what differs."""
    return ", ".join(f"{name} {clip(facts[name])}" for name in found if name in facts)


def _variants(one: str, other: str) -> str:
    """Name the folders by which two files of one run may be told apart."""
    parts = [Path(file).parent.parts for file in (one, other)]
    apart = [[part for part in mine if part not in theirs] for mine, theirs in (parts, parts[::-1])]
    if not all(apart):
        return ""
    return f"; --variant {apart[0][0]} or --variant {apart[1][0]} reads one of them"


def _keys(curves: pd.DataFrame) -> list[Key]:
    return list(zip(*(curves[name] for name in CHECKPOINT), strict=True))


def _by_task(curves: pd.DataFrame) -> dict[tuple[str, str], list[Key]]:
    """Return the checkpoints of each task."""
    found: dict[tuple[str, str], list[Key]] = {}
    for key in dict.fromkeys(_keys(curves)):
        found.setdefault((key[0], key[2]), []).append(key)
    return found
