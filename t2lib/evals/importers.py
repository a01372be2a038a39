"""Reading what teams already have: evaluation logs and tables become one curve table.

Files are streamed, one at a time per worker: a log is reduced to the curves of its checkpoint
before the next one is opened, so memory does not grow with the number of files.
"""

from __future__ import annotations

import os
import re
import stat
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from t2lib._checks import LARGEST_SIZE, DataError, DataErrors, clip, counted, plain, require_one_of
from t2lib._parallel import run
from t2lib.data.curves import LIKELIHOOD_K, likelihood_columns, sample_columns
from t2lib.data.schemas import CHECKPOINT, validate
from t2lib.data.tables import (
    KINDS,
    NUMBERS,
    PACKED,
    WORDS,
    json_lines,
    kind_of,
)
from t2lib.evals import (
    code_tests,
    harness,
    helm,
    inspect_logs,
    lighteval,
    monkeys,
    olmes,
)
from t2lib.evals.choices import Choices, read_pools
from t2lib.evals.collected import CURVE, Collected, FewSamples, Key, Read
from t2lib.evals.columns import chunks_of, has_all, names_questions, read_columns, wanted
from t2lib.evals.harness import Answers, is_sample, read_samples, results_file
from t2lib.evals.runs import RUNS_FILES, Run, read_runs
from t2lib.evals.settings import Facts, differing, fingerprint, fingerprint_of_numbers
from t2lib.evals.tally import Logged, beginning

if TYPE_CHECKING:
    import pandas as pd

# Names of files that may hold results, read or not: what is passed over is said.
_LIKE_A_LOG = re.compile(
    r"^samples_|\.(jsonl|ndjson|csv|tsv|parquet|eval|zip|tar|tgz|7z)(\.\w+)?$", re.I
)
_KIND = re.compile(r"(?:\.[a-z]\w*){0,2}$", re.I)  # a part of a date is none
_RESULTS = re.compile(r"_\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d(?:\.\d+)?\.json$")
_AGAIN = "run the harness again with --log_samples"
_POINTER = b"version https://git-lfs.github.com/spec/"
MORE_KINDS = (".json", ".eval", ".yaml", ".yml")  # read where a tool's log is recognised
_AT_ONCE = 32  # checkpoints whose curves are computed together
_LONGEST_MESSAGE = 800
_FEW_BYTES = 2**24
_NEEDED = {
    "curves": ["task", "k", "n_questions", "pass_at_k"],
    "questions_nll": ["task", "question", "nll"],
    "questions_counts": ["task", "question", "n_samples", "n_correct"],
}


@dataclass(frozen=True)
class ImportedResults:
    """What :func:`read_results` found.

    Attributes
    ----------
    curves : DataFrame
        The curve table, ordered by suite, task, model, n_tokens and k: ``suite, model, task,
        n_params, n_tokens, k, n_questions, pass_at_k, neg_log_pass, mean_nll``; the last two are
        null where there are samples and no likelihoods.
    skipped : list of str
        One line for each file, or part of one, that was left out (only with ``skip_bad``).
    notes : list of str
        What a reader of the results should know, one line each.
    files : int
        Number of files read.
    counts : DataFrame or None
        One row for each question that was sampled: ``suite, model, task, n_params, n_tokens,
        n_samples, n_correct``; None where there are likelihoods or curves only.
    inputs : list of Path
        Every file that was opened, those that were left out, the runs file and the harness's
        results files among them: nothing may be written over these.
    left_out : list of str
        Those of the notes that tell of checkpoints that were left out.
    """

    curves: pd.DataFrame
    skipped: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    files: int = 0
    counts: pd.DataFrame | None = None
    inputs: list[Path] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def read_results(
    paths: str | Path | Sequence[str | Path],
    *,
    runs: str | Path | Mapping[str, Any] | None = None,
    skip_bad: bool = False,
    n_jobs: int | None = None,
    progress: bool = False,
    k: npt.ArrayLike | None = None,
    suite: str = "own",
    tasks: Sequence[str] = (),
    metric: str = "",
    filter: str = "",
    variant: str = "",
    min_samples: int = 1,
    mix: bool = False,
    pool: Mapping[str, Any] | None = None,
    pool_groups: bool = True,
    columns: Mapping[str, str] | Sequence[str] | None = None,
) -> ImportedResults:
    """Read evaluation logs and tables into one curve table.

    Parameters
    ----------
    paths : path or sequence of paths
        Files, or folders that are walked for them:

        * logs of the lm-evaluation-harness, ``samples_TASK_DATE.jsonl`` (``--log_samples``; see
          :mod:`t2lib.evals.harness` for what is read and what cannot be known);
        * logs of other tools, as :mod:`t2lib.evals.importers`'s READERS lists them: each has a
          module that says what is read, and of which versions;
        * ``.csv``, ``.parquet`` or ``.jsonl`` tables of questions (``model, task, n_params,
          n_tokens, question`` and either ``nll`` or ``n_samples, n_correct``) or of curves (as
          ``ImportedResults.curves``; the two likelihood columns may be absent). ``nll`` is that of
          the whole right answer in nats, not per token. A table may lack ``suite``, and both
          ``n_params`` and ``n_tokens`` where ``runs`` has its ``model``.

        Logs, CSV and JSON Lines may be packed with gzip (``.gz``) or zstandard (``.zst``). In a
        folder, other files and hidden ones are passed over, with a note where they may be logs,
        and so are symbolic links within it; links that lead out of it are refused.
    runs : path or mapping, optional
        Run names with N and D (see :func:`~t2lib.evals.runs.read_runs`); by default ``runs.yml``,
        ``runs.yaml`` or ``runs.csv`` in a folder given. A log's run is named by its folder: the
        name is one part, or several in a row, of the path of the log's folder, as in
        ``step1000`` or ``step1000/my__model``.
    skip_bad : bool
        Leave out what cannot be read and go on, keeping a line on each.
    n_jobs : int, optional
        Processes, as joblib counts them; by default what ``joblib.parallel_config`` says, else 1.
        On a Dask cluster (:mod:`t2lib._parallel`) every worker must see the files.
    progress : bool
        Show a progress bar on stderr.
    k : array_like, optional
        Samples per question to compute pass@k at. By default 1, 2, 4, ..., 65536 from likelihoods,
        and from samples the powers of two up to the smallest number of samples that any question
        of the checkpoint has; larger values are left out there, since pass@k is undefined.
    suite : str
        What to call the suite where a file does not say.
    tasks : sequence of str
        Read these tasks only; a log of another one is not opened.
    metric : str
        Which of the values that are logged (of the lm-evaluation-harness, inspect_ai, lighteval,
        OLMES or HELM) says whether a generated answer is right; by default the first of a list of
        usual ones, with a note where there are several.
    filter : str
        Which of the harness's filters to take; by default each is a task of its own.
    variant : str
        Read only logs in a folder of this name, as ``0shot`` beside ``5shot``.
    min_samples : int
        Leave out questions with fewer samples, with a note on their number.
    mix : bool
        Keep checkpoints that answered other questions, or under other settings, than most of
        their task; by default the larger side is kept, with a note.
    pool : mapping, optional
        Tasks to join: a name, and patterns of tasks as ``"mmlu_*"``, whose questions become one
        task's.
    pool_groups : bool
        Join the tasks of one group of the harness, as mmlu, with a note.
    columns : mapping or sequence of str, optional
        What a table's columns are called, ``{"question": "task_id", "correct": "passed"}`` (see
        :mod:`t2lib.evals.columns`).

    Returns
    -------
    ImportedResults

    Raises
    ------
    DataError
        A line for each fault, ``FILE: row R, column C: what is wrong``. With ``skip_bad``, only
        where the runs file is wrong or nothing at all is left.
    ValueError
        Where ``k`` is no list of whole numbers of 1 or more, or ``min_samples`` is below 1.

    Notes
    -----
    From samples, pass@k is the unbiased estimator of :func:`t2lib.pass_at_k`; from likelihoods, the
    mean over questions of 1 - (1 - exp(-nll))^k.
    """
    from tqdm import tqdm

    if min_samples < 1:
        raise ValueError(f"min_samples is {min_samples}: want 1 or more")
    choices = Choices(
        *(suite, _grid(k), tuple(tasks), metric, filter, variant, min_samples, mix),
        pools=read_pools(pool),
        pool_groups=pool_groups,
        columns=read_columns(columns),
    )
    roots = [Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
    runs = _runs_file(roots) if runs is None else runs
    table = None if runs is None else read_runs(runs)
    bad = _Bad(are_errors=not skip_bad)
    files, notes = _find_files(roots, bad)
    files = _wanted(files, choices)
    files, passed_over = _latest(files)
    found = Collected(notes + passed_over, choices)
    names = _RunNames(table)
    calls = (partial(_read_file, file, names.of(file), choices) for file in files)
    done = run(calls, n_jobs=n_jobs if _are_much(files) else 1)
    for read in tqdm(done, total=len(files), desc="files", unit="file", disable=not progress):
        if isinstance(read, str):
            bad.add(read)
        else:
            found.add(read)
    bad.raise_all()
    curves = found.table(bad)
    bad.raise_all()
    counts = found.counts(curves)
    inputs = [path for file in files for path in (file.path, results_file(file.path))]
    inputs += found.opened
    inputs += [] if runs is None or isinstance(runs, Mapping) else [Path(runs)]
    return ImportedResults(
        *(curves, bad.messages, found.notes, found.files, counts, inputs, found.left_out)
    )


def _are_much(files: Sequence[_File]) -> bool:
    """Tell whether to start processes is worth a second: not for one file, nor for a few MB."""
    return len(files) > 1 and sum(file.path.stat().st_size for file in files) > _FEW_BYTES


def _grid(k: npt.ArrayLike | None) -> npt.NDArray[np.int64] | None:
    if k is None:
        return None
    grid = np.unique(np.asarray(k, dtype=float).ravel())
    if grid.size == 0 or not np.all((grid >= 1) & (grid <= 2.0**53) & (grid == np.floor(grid))):
        raise ValueError(f"k is {clip(str(k))}: want whole numbers of 1 or more")
    return grid.astype(np.int64)


class _Bad:
    """Faults: all are kept, to be raised together or to be counted."""

    def __init__(self, *, are_errors: bool) -> None:
        self.are_errors = are_errors
        self.messages: list[str] = []

    def add(self, message: str) -> None:
        self.messages.append(" ".join(plain(message).split()))  # a file's name may hold anything

    def raise_all(self) -> None:
        if self.are_errors and self.messages:
            raise DataErrors(self.messages, "skip_bad=True, or --skip-bad, leaves them out")


# --- which files ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _File:
    """A file to read, and the folders that may name its run, the outermost first."""

    path: Path
    folders: tuple[str, ...]
    revision: str = ""  # of the model, where the folder holds logs of several


def _find_files(roots: list[Path], bad: _Bad) -> tuple[list[_File], list[str]]:
    """List the files to read, each once however many paths lead to it; and notes on others."""
    if not roots:
        raise DataError("no files or folders to read")
    found: dict[Path, _File] = {}
    others: list[Path] = []
    results: list[Path] = []
    for root in roots:
        if not root.exists():
            bad.add(f"{root}: no such file or folder")
            continue
        whole = root.resolve()
        if root.is_dir():
            for path in _walk(root, bad, others, results):
                inner = path.parent.relative_to(root).parts
                found.setdefault(monkeys.log_of(path), _File(path, (whole.name, *inner)))
        elif problem := _unreadable(root):
            bad.add(problem)
        elif not _is_read(root):
            bad.add(f"{root}: unknown kind of file: want one of {', '.join(KINDS)}")
        else:
            found.setdefault(monkeys.log_of(root), _File(root, (whole.parent.name,)))
    notes = _notes_on(others, _without_samples(results, found))
    if not found:
        bad.raise_all()
        reasons = [*bad.messages, *notes][:1]
        raise DataError("; ".join([f"{roots[0]}: no {', '.join(KINDS)} files found", *reasons]))
    return _with_revisions(list(found.values())), notes


def _without_samples(results: list[Path], logs: Iterable[Path]) -> list[Path]:
    """Return the results files of the harness that no log of samples lies beside."""
    beside = {results_file(path) for path in logs if harness.date_of(path)} if results else set()
    return [path for path in results if path.resolve() not in beside]


def _with_revisions(files: list[_File]) -> list[_File]:
    """Add to a log's folders what else may name its run; and its revision among several."""
    revisions: dict[Path, set[str]] = {}
    named = []
    for file in files:
        parts: tuple[str, ...] = ()
        if harness.is_named_log(file.path):
            parts = harness.run_parts(file.path)
            revisions.setdefault(file.path.parent, set()).add(harness.revision_of(file.path))
        named.append(replace(file, folders=(*file.folders, *parts)))
    return [
        replace(file, revision=file.folders[-1])
        if len(revisions.get(file.path.parent, ())) > 1 and harness.revision_of(file.path)
        else file
        for file in named
    ]


def _wanted(files: list[_File], choices: Choices) -> list[_File]:
    """Leave out logs of tasks and of variants that were not asked for."""
    if choices.variant:
        variants = {part for file in files for part in file.folders}
        require_one_of(choices.variant, sorted(variants), "folder")
        files = [file for file in files if choices.variant in file.folders]
    if not choices.tasks:
        return files
    kept = [file for file in files if _may_be_wanted(file.path, choices)]
    if not kept:
        tasks = {harness.named_task(file.path) for file in files}
        require_one_of(choices.tasks[0], sorted(tasks), "task")
    return kept


def _may_be_wanted(path: Path, choices: Choices) -> bool:
    if not harness.is_named_log(path):
        return True
    task = harness.named_task(path)
    return choices.wants(task) or choices.wants(task, harness.groups_of(path).get(task, ""))


def _latest(files: list[_File]) -> tuple[list[_File], list[str]]:
    """Leave out logs that a later one of the same run and task replaces; and say so."""
    latest: dict[tuple[Any, ...], str] = {}
    for file in files:
        if date := harness.date_of(file.path):
            latest[_again(file)] = max(date, latest.get(_again(file), ""))
    kept: list[_File] = []
    old: list[_File] = []
    for file in files:
        date = harness.date_of(file.path)
        (old if date and date < latest[_again(file)] else kept).append(file)
    notes = []
    for folder in dict.fromkeys(file.path.parent for file in old):
        here = [file for file in old if file.path.parent == folder]
        last = latest[_again(here[0])]
        notes.append(
            f"{here[0].path}: evaluated again on {last}, which is read"
            + f" ({len(here)} such logs in the folder)" * (len(here) > 1)
            + _changed(here[0].path, last)
        )
    return kept, notes


def _again(file: _File) -> tuple[Any, ...]:
    return file.path.parent, harness.named_task(file.path), file.folders


def _changed(path: Path, last: str) -> str:
    """Say which settings differ between an evaluation and the last one."""
    later = path.with_name(path.name.replace(harness.date_of(path), last))
    found = differing([harness.settings_of(path), harness.settings_of(later)])
    changes = [f"{name} was {', then '.join(values)}" for name, values in found.items()]
    return f"; {', '.join(changes)}" if changes else ""


def _is_read(path: Path) -> bool:
    """Tell whether a reader takes a file: any table, of other kinds only a tool's own log."""
    if kind_of(path) in KINDS:
        return True
    if path.suffix not in MORE_KINDS:
        return False
    if ("results" in path.name or _LIKE_A_LOG.search(path.name)) and _is_pointer(path):
        return True  # to be named as one
    return any(one.sniff(path) for one in READERS.values())


def _kind(path: Path) -> str:
    """Return what a file's name ends in, two suffixes at most."""
    found = _KIND.search(path.name)
    return found[0] if found else ""


def _is_pointer(path: Path) -> bool:
    """Tell a pointer of Git LFS, which is text whatever the file's name says of packing."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_POINTER)) == _POINTER


def _notes_on(others: list[Path], lonely: list[Path]) -> list[str]:
    """Name what looks like a log and was not read, and results without samples, one note each."""
    untested = [path for path in others if _results_of(path) is not None]
    unread = [path for path in others if path not in untested]
    folders = {path.parent for path in unread}
    bare = [path for path in lonely if path.parent not in folders]
    notes = []
    if untested:
        what = f"{len(untested)} files, read are the results beside them; the first: {untested[0]}"
        notes.append(f"samples without verdicts: {what}")
    if unread:
        kinds = Counter(_kind(path) or "without a suffix" for path in unread)
        each = clip(", ".join(f"{number} {kind}" for kind, number in kinds.items()), 200)
        also = counted(len(lonely) - len(bare), "results file")
        notes.append(
            f"not read: {counted(len(unread), 'file')} that may be logs ({each})"
            + f"; beside {also} there is no other" * (len(bare) < len(lonely))
            + f"; read are {', '.join(KINDS)}, the first two also with {' or '.join(PACKED)}; the "
            f"first: {unread[0]}"
        )
    if bare:
        such = f" ({len(bare)} such files)" if len(bare) > 1 else ""
        notes.append(f"{bare[0]}: results without samples{such}: {_AGAIN}")
    return notes


def _results_of(path: Path) -> Path | None:
    """Return the file beside one without verdicts that has them, if there is one."""
    return code_tests.results_of(path) or olmes.predictions_of(path)


def _walk(root: Path, bad: _Bad, others: list[Path], results: list[Path]) -> Iterator[Path]:
    """Yield the files below a folder, in a fixed order, following no link out of it.

    Those that look like logs, and are of a kind that is not read, are put into ``others``, and
    results files of the harness into ``results``.
    """
    inside = root.resolve()
    for folder, folders, names in os.walk(root, onerror=lambda error: bad.add(_os_error(error))):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in [*folders, *sorted(names)]:
            path = Path(folder, name)
            if name.startswith("."):
                continue
            is_ours = _is_read(path) and name not in RUNS_FILES
            if path.is_symlink():
                # One that stays inside leads to what is read in its own place.
                if not _stays(path, inside) and (is_ours or path.is_dir()):
                    bad.add(f"{path}: a symbolic link that leads out of {root}")
            elif is_ours and (problem := _unreadable(path)):
                bad.add(problem)
            elif is_ours and _results_of(path) is None:
                yield path
            elif _LIKE_A_LOG.search(name) and name not in RUNS_FILES:
                others.append(path)
            elif _RESULTS.search(name) and _is_harness_results(path):
                results.append(path)


def _is_harness_results(path: Path) -> bool:
    return b'"results"' in beginning(path) and not lighteval.is_results(path)


def _stays(link: Path, folder: Path) -> bool:
    try:
        return link.resolve().is_relative_to(folder)
    except (OSError, RuntimeError):  # a circle of links leads nowhere
        return True


def _unreadable(path: Path) -> str:
    """Say why a path is no file that can be read; empty if it is one."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return _os_error(error)
    if stat.S_ISDIR(mode):
        return f"{path}: a folder, not a file"
    if not stat.S_ISREG(mode):
        return f"{path}: not a regular file"
    return ""


def _os_error(error: OSError) -> str:
    return f"{error.filename}: cannot be read: {error.strerror}"


def _runs_file(roots: list[Path]) -> Path | None:
    """Return the one runs file in the folders given."""
    files = [root / name for root in roots for name in RUNS_FILES if (root / name).is_file()]
    if len(files) > 1:
        raise DataError(f"{files[1]}: a second runs file beside {files[0]}: say which one to use")
    return files[0] if files else None


class _RunNames:
    """The runs, found by what a log's path may call them."""

    def __init__(self, runs: dict[str, Run] | None) -> None:
        self.runs = runs
        self.named: dict[str, list[str]] = {}
        for name in runs or ():
            self.named.setdefault(harness.as_folder(name), []).append(name)

    def of(self, file: _File) -> dict[str, Run] | None:
        """Return the runs that a file may be of: a log's few by its path, for others all."""
        if self.runs is None or not file.path.name.startswith("samples_"):
            return self.runs
        return self.named_by(file.folders)

    def named_by(self, parts: tuple[str, ...]) -> dict[str, Run]:
        """Return the runs whose name is one, or several in a row, of a path's parts."""
        return {
            name: (self.runs or {})[name]
            for start in range(len(parts))
            for stop in range(start + 1, len(parts) + 1)
            for name in self.named.get(harness.as_folder("/".join(parts[start:stop])), ())
        }


def _run_of(file: _File, runs: dict[str, Run] | None) -> Run:
    """Return the run that a log's folders name."""
    return (runs or {})[_run_name(file, runs)]


def _run_name(file: _File, runs: dict[str, Run] | None) -> str:
    if runs is None:
        raise DataError(f"{file.path}: no N and D: give a runs file that has the run's name")
    ending = harness.as_folder(file.revision)
    matches = {
        name: harness.as_folder(name)
        for name in _RunNames(runs).named_by(file.folders)
        if harness.as_folder(name).endswith(ending)
    }
    if not matches:
        shown = clip("/".join(file.folders[1:] or file.folders))
        several = ": of several revisions in one folder, each needs a name that ends with its own"
        raise DataError(
            f"{file.path}: run {shown!r} has no N and D: it is not in the runs file"
            f"{several if file.revision else ''}"
        )
    longest = max(matches, key=len)
    rivals = [
        name
        for name, form in matches.items()
        if name != longest and (form not in matches[longest] or form == matches[longest])
    ]
    if rivals:
        raise DataError(f"{file.path}: is it run {clip(rivals[0])!r} or {clip(longest)!r}?")
    return longest


def _task_name(file: _File, run: str) -> str:
    """Return the innermost part of a log's path that does not name its run."""
    taken = {run, harness.as_folder(run), *run.split("/")}
    task = next((part for part in reversed(file.folders) if part not in taken), "")
    if not task:
        raise DataError(f"{file.path}: neither its name nor a folder's names the task")
    return task


def logs_of(paths: Sequence[Path]) -> list[tuple[Path, tuple[str, ...]]]:
    """Return every file that would be read, and what may name its run, the outermost first."""
    bad = _Bad(are_errors=True)
    files, _ = _find_files(list(paths), bad)
    bad.raise_all()
    return [(file.path, file.folders) for file in files]


# --- one file -------------------------------------------------------------------------------------


def _read_file(file: _File, runs: dict[str, Run] | None, choices: Choices) -> Read | str:
    """Read one file; a fault is returned as its message, so that the others go on."""
    try:
        if _is_pointer(file.path):
            what = "a pointer of Git LFS, not the file itself: git lfs pull fetches it"
            raise DataError(f"{file.path}: {what}")
        reader = next(reader for reader in READERS.values() if reader.sniff(file.path))
        if has_all(file.path, choices.columns):
            reader = READERS["table"]
        return reader.read(file, runs, choices)
    except DataError as error:
        message = str(error)
    except OSError as error:
        message = f"{file.path}: cannot be read: {error.strerror or error}"
    here = f"{file.path}: "
    return here + clip(message.removeprefix(here), _LONGEST_MESSAGE)


def _is_log(path: Path) -> bool:
    if kind_of(path) != ".jsonl":
        return False
    if path.name.startswith("samples_"):
        return True
    first = next(json_lines(path), None)
    return first is not None and is_sample(first[1])


def _read_log(file: _File, runs: dict[str, Run] | None, choices: Choices) -> Read:
    mine = _run_of(file, runs)
    logged = Logged(*read_samples(file.path, choices.metric, choices.filter))
    read = _of_run(mine, logged, file.path, choices)
    read.groups = harness.groups_of(file.path)
    return read


def _reader_of(read: Callable[[Path], Logged]) -> Callable[[_File, Any, Choices], Read]:
    """Make a reader of what turns a log into its tasks' answers."""
    return _reader_by_metric(lambda path, _: read(path))


def _reader_by_metric(
    read: Callable[[Path, str], Logged],
) -> Callable[[_File, Any, Choices], Read]:
    """Make a reader of what does so by one of several logged values."""
    return partial(_read_other, read)


def _read_other(
    read: Callable[[Path, str], Logged], file: _File, runs: dict[str, Run] | None, choices: Choices
) -> Read:
    """Read another tool's log; its run is named by the folders, or by the log itself."""
    logged = read(file.path, choices.metric)
    inner = [part for part in logged.run.split("/") if part]
    named = replace(file, folders=(*file.folders, *inner))
    run = _run_name(named, runs)
    for answers in logged.answers:
        answers.task = answers.task or _task_name(named, run)
    return _of_run((runs or {})[run], logged, file.path, choices)


def _of_run(mine: Run, logged: Logged, path: Path, choices: Choices) -> Read:
    answers = {
        (choices.suite, mine.model, one.task, mine.n_params, mine.n_tokens): one
        for one in logged.answers
    }
    return replace(_reduced(path, answers, choices, logged.notes), opened=logged.opened)


def _reduced(
    path: Path, answers: dict[Key, Answers], choices: Choices, notes: Sequence[str] = ()
) -> Read:
    """Keep of a file's answers their curves, and the counts: likelihoods would fill the memory."""
    sampled = {
        key: _with_enough(path, one, choices.min_samples)
        for key, one in answers.items()
        if one.n_samples is not None
    }
    answers = answers | sampled
    return Read(
        path,
        _curves(path, answers, choices.grid),
        list(notes),
        {key: _small(_counts(one)) for key, one in sampled.items()},
        {key: one.facts for key, one in answers.items()},
        {key: few for key, one in sampled.items() if (few := _few(one)) is not None},
        {key: one.counted for key, one in answers.items() if one.counted},
    )


def _counts(answers: Answers) -> npt.NDArray[np.int64]:
    assert answers.n_samples is not None and answers.n_correct is not None
    return np.stack([answers.n_samples, answers.n_correct])


def _with_enough(path: Path, answers: Answers, least: int) -> Answers:
    """Leave out questions with fewer samples."""
    n, c = _counts(answers)
    enough = n >= least
    if enough.all():
        return answers
    if not enough.any():
        raise DataError(f"{path}: task {clip(answers.task)}: no question has {least} samples")
    names = None if answers.questions is None else np.asarray(answers.questions)[enough]
    left_out = {
        f"questions with fewer than {least} samples that are left out": int((~enough).sum())
    }
    return replace(
        answers,
        n_samples=n[enough],
        n_correct=c[enough],
        questions=names,
        counted=answers.counted | left_out,
    )


def _few(answers: Answers) -> FewSamples | None:
    """Return the question that cuts the curve far below where most others would."""
    n, _ = _counts(answers)
    usual = 2 ** int(np.log2(np.median(n)))
    if n.min() >= usual:
        return None
    place = int(n.argmin())
    name = place + 1 if answers.questions is None else answers.questions[place]
    return FewSamples(str(name), int(n[place]), usual, int((n < usual).sum()))


def _small(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.integer[Any]]:
    """Return the counts in as few bytes as hold them: they are kept until all files are read."""
    return counts.astype(np.min_scalar_type(int(counts.max())))


def _curves(
    path: Path, answers: dict[Key, Answers], grid: npt.NDArray[np.int64] | None
) -> pd.DataFrame:
    """Compute the curve rows of a file's checkpoints, those with equally many questions at once."""
    import pandas as pd

    alike: dict[tuple[bool, int], list[Key]] = {}
    for key, one in answers.items():
        alike.setdefault((one.nll is None, len(one)), []).append(key)
    parts = []
    for (sampled, _), keys in alike.items():
        for start in range(0, len(keys), _AT_ONCE):
            some = keys[start : start + _AT_ONCE]
            if sampled:
                parts += [_sampled_curve(path, key, answers[key], grid) for key in some]
            else:
                parts.append(_likelihood_curves(some, [answers[key] for key in some], grid))
    return pd.concat(parts, ignore_index=True)


def _likelihood_curves(
    keys: list[Key], answers: list[Answers], grid: npt.NDArray[np.int64] | None
) -> pd.DataFrame:
    k = LIKELIHOOD_K if grid is None else grid
    nll = np.stack([one.nll for one in answers if one.nll is not None])
    return _labelled([key for key in keys for _ in k], likelihood_columns(nll, k))


def _sampled_curve(
    path: Path, key: Key, answers: Answers, grid: npt.NDArray[np.int64] | None
) -> pd.DataFrame:
    n, c = answers.n_samples, answers.n_correct
    assert n is not None and c is not None
    k = 2 ** np.arange(53) if grid is None else grid
    if n.min() < k.min():
        raise DataError(
            f"{path}: task {clip(str(key[2]))}: no k of {n.min()} or less is wanted, and a "
            f"question has {n.min()} samples"
        )
    columns = sample_columns(n, c, k)
    return _labelled([key] * len(columns["k"]), columns)


def _labelled(keys: list[Key], columns: dict[str, Any]) -> pd.DataFrame:
    """Put each row's checkpoint and task before its numbers."""
    import pandas as pd

    return pd.DataFrame(dict(zip(CHECKPOINT, zip(*keys, strict=True), strict=True)) | columns)


# --- tables ---------------------------------------------------------------------------------------


def _read_table(file: _File, runs: dict[str, Run] | None, choices: Choices) -> Read:
    """Read a table of questions or curves, chunk by chunk, and reduce it to curves."""
    import pandas as pd

    path = file.path
    schema = ""
    curves: list[pd.DataFrame] = []
    groups: dict[Key, list[pd.DataFrame]] = {}
    is_named = names_questions(path, choices.columns)
    words = (*WORDS, "question") if is_named else WORDS
    numbers = tuple(name for name in NUMBERS if name not in words)
    named = _Numbered()
    for chunk in chunks_of(path, choices.columns, words, numbers):
        chunk = _placed(chunk, file, runs) if choices.columns else chunk
        schema = schema or _schema_of(chunk, path)
        if is_named:
            chunk["question"] = named.of(chunk["question"], path)
        with warnings.catch_warnings():  # pandera's own, while it collects what is wrong
            warnings.simplefilter("ignore", FutureWarning)
            completed = _completed(chunk, path, runs, choices.suite)
            _require_columns(completed, chunk, schema, path)
            checked = validate(completed, schema, str(path))
        _require_sizes(checked, path)
        if schema == "curves":
            curves.append(checked[CURVE])
            continue
        kept = [name for name in ("question", "nll", "n_samples", "n_correct") if name in checked]
        for key, rows in checked.groupby(CHECKPOINT, sort=False, observed=True):
            groups.setdefault(key, []).append(rows[kept])
    if not schema:
        raise DataError(f"{path}: the table is empty: it has no rows")
    if schema == "curves":
        table = pd.concat(curves)
        repeats = table[table.duplicated([*CHECKPOINT, "k"])]
        if len(repeats):
            raise DataError(f"{path}: row {repeats.index[0]}: repeats an earlier row's checkpoint")
        asked = table.groupby(CHECKPOINT, sort=False, observed=True)["n_questions"].first()
        facts: dict[Key, Facts] = {
            key: {"number of questions": str(n)} for key, n in zip(asked.index, asked, strict=True)
        }
        return Read(path, table.reset_index(drop=True), facts=facts)
    answers = {}
    for key, parts in groups.items():
        answers[key] = _answers(path, key, pd.concat(parts), named.names)
        parts.clear()
    return _reduced(path, answers, choices)


def _require_columns(table: pd.DataFrame, given: pd.DataFrame, schema: str, path: Path) -> None:
    needed = [*CHECKPOINT, *_NEEDED[schema]]
    if missing := [name for name in needed if name not in table]:
        header = list(map(str, given.columns))
        raise DataError(f"{path}: {wanted(header, f'column {missing[0]}: missing')}")


def _placed(table: pd.DataFrame, file: _File, runs: dict[str, Run] | None) -> pd.DataFrame:
    """Give a table without models or tasks the run and the task that its path names."""
    stem = re.split(re.escape(kind_of(file.path)), file.path.name, flags=re.I)[0]
    named = replace(file, folders=(*file.folders, stem))
    run = "" if "model" in table else _run_name(named, runs)
    table = table.assign(model=run) if run else table
    return table if "task" in table else table.assign(task=_task_name(named, run))


def _require_sizes(table: pd.DataFrame, path: Path) -> None:
    """Refuse N and D that no model has: their powers would leave the floats."""
    for name in ("n_params", "n_tokens"):
        wrong = table[name][(table[name] < 1) | (table[name] > LARGEST_SIZE)]
        if len(wrong):
            what = f"{wrong.iloc[0]:g} is not between 1 and {LARGEST_SIZE:g}"
            raise DataError(f"{path}: row {wrong.index[0]}, column {name}: {what}")


class _Numbered:
    """Numbers for questions that have names, the same in every chunk."""

    def __init__(self) -> None:
        self.names: dict[str, int] = {}

    def of(self, column: pd.Series, path: Path) -> pd.Series:
        names = column.astype("category").cat
        missing = column.index[(names.codes < 0) | (column.astype(object) == "")]
        if len(missing):
            raise DataError(f"{path}: row {missing[0]}, column question: is empty")
        codes = {x: self.names.setdefault(str(x), len(self.names)) for x in names.categories}
        return column.map(codes).astype("int64")


def _answers(path: Path, key: Key, rows: pd.DataFrame, names: dict[str, int]) -> Answers:
    """Turn a checkpoint's rows into arrays; a question may be there once."""
    repeats = rows.index[rows["question"].duplicated()]
    if len(repeats):
        raise DataError(f"{path}: row {repeats[0]}, column question: repeats an earlier row")
    numbers = rows["question"].to_numpy()
    if names:
        called = np.array(list(names), dtype=object)[numbers]
        found = Answers(key[2], questions=called, facts={"questions' names": fingerprint(called)})
    else:
        facts = {"questions' numbers": fingerprint_of_numbers(numbers)}
        found = Answers(key[2], questions=numbers, facts=facts)
    if "nll" in rows:
        return replace(found, nll=rows["nll"].to_numpy())
    n, c = (rows[name].to_numpy() for name in ("n_samples", "n_correct"))
    return replace(found, n_samples=n, n_correct=c)


def _schema_of(table: pd.DataFrame, path: Path) -> str:
    """Tell by its columns what a table holds."""
    names = [name for name, needed in _NEEDED.items() if needed[-1] in table.columns]
    if len(names) == 1:
        return names[0]
    if names:
        what = " and ".join(_NEEDED[name][-1] for name in names)
        raise DataError(f"{path}: columns {what}: one table holds one kind of result")
    header = list(map(str, table.columns))
    raise DataError(f"{path}: {wanted(header, 'no column nll, n_correct or pass_at_k')}")


def _completed(
    table: pd.DataFrame, path: Path, runs: dict[str, Run] | None, suite: str
) -> pd.DataFrame:
    """Add what a table may lack: the suite, N and D of its runs, the likelihood columns."""
    table = table.copy(deep=False)
    if "suite" not in table:
        table["suite"] = suite
    if "pass_at_k" in table:
        for name in ("neg_log_pass", "mean_nll"):
            if name not in table:
                table[name] = np.nan
    if not {"n_params", "n_tokens"} & set(table.columns) and "model" in table and runs is not None:
        names = table["model"].astype(object)
        unknown = ~names.isin(list(runs))
        if unknown.any():
            row, name = names.index[unknown][0], clip(repr(names[unknown].iloc[0]))
            raise DataError(f"{path}: row {row}, column model: run {name} is not in the runs file")
        for column in ("n_params", "n_tokens", "model"):
            values = {name: getattr(one, column) for name, one in runs.items()}
            table[column] = names.map(values)
    for name in WORDS:
        if name in table:
            table[name] = _words(table[name])
    return table


def _words(column: pd.Series) -> pd.Series:
    """Return a column as text; nulls and empty text stay null, to be refused as such."""
    values = column.astype("category").cat
    names = {value: str(value) for value in values.categories if str(value).strip()}
    return column.map(names).astype("category")


# --- every kind of file ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Reader:
    """A kind of file that is read.

    Attributes
    ----------
    sniff : callable
        Tells from a path, and the beginning of the file, whether it is of this kind.
    read : callable
        Reads a file to its curves: file, runs and what was asked for to what was read.
    needs : str
        What must be in it or beside it, for people.
    run : callable
        What a log calls its run, as its reader tells in ``Logged.run``, without reading it whole;
        empty where only its folders do.
    """

    sniff: Callable[[Path], bool]
    read: Callable[[_File, Any, Choices], Read]
    needs: str
    run: Callable[[Path], str] = lambda path: ""


# Asked in this order. Another tool's logs are a module, a row here and a test.
READERS = {
    "human-eval": Reader(
        code_tests.is_human_eval,
        _reader_of(code_tests.read_human_eval),
        "SAMPLES.jsonl_results.jsonl with task_id and passed, and a runs file",
    ),
    "EvalPlus": Reader(
        code_tests.is_evalplus,
        _reader_of(code_tests.read_evalplus),
        "SAMPLES_eval_results.json, and a runs file",
    ),
    "bigcode": Reader(
        code_tests.is_bigcode, _reader_of(code_tests.read_bigcode), "logs.json, and a runs file"
    ),
    "Large Language Monkeys": Reader(
        monkeys.is_monkeys,
        _reader_of(monkeys.read_monkeys),
        "is_corrects for each question in JSON Lines, Parquet or a folder of YAML; a runs file",
        monkeys.run_of,
    ),
    "inspect_ai": Reader(
        inspect_logs.is_inspect,
        _reader_by_metric(inspect_logs.read_inspect),
        "LOG.eval or LOG.json with scored samples, and a runs file",
        inspect_logs.run_of,
    ),
    "lighteval": Reader(
        lighteval.is_lighteval,
        _reader_by_metric(lighteval.read_lighteval),
        "details_TASK_DATE.parquet, and a runs file",
        lighteval.run_of,
    ),
    "OLMES": Reader(
        olmes.is_olmes,
        _reader_by_metric(olmes.read_olmes),
        "task-000-TASK-predictions.jsonl, better with the metrics file beside it; a runs file",
        olmes.run_of,
    ),
    "HELM": Reader(
        helm.is_helm,
        _reader_by_metric(helm.read_helm),
        "RUN/per_instance_stats.json, and a runs file",
        helm.run_of,
    ),
    "lm-evaluation-harness": Reader(
        _is_log, _read_log, "samples_TASK_DATE.jsonl, and a runs file with N and D of each run"
    ),
    "table": Reader(
        lambda path: kind_of(path) in KINDS,
        _read_table,
        "columns model, task, n_params, n_tokens, and those of questions or of curves",
    ),
}
