"""Reading what teams already have: evaluation logs and tables become one curve table.

Files are streamed, one at a time per worker: a log is reduced to the curves of its checkpoint
before the next one is opened, so memory does not grow with the number of files.
"""

from __future__ import annotations

import os
import re
import stat
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from t2lib._checks import LARGEST_SIZE, DataError, clip, plain, visible
from t2lib._parallel import run
from t2lib.data.curves import LIKELIHOOD_K, likelihood_columns, sample_columns
from t2lib.data.schemas import CHECKPOINT, validate
from t2lib.data.tables import KINDS, PACKED, WORDS, chunks, json_lines, kind_of
from t2lib.evals import code_tests
from t2lib.evals.harness import Answers, is_sample, read_samples, results_file
from t2lib.evals.runs import Run, read_runs
from t2lib.evals.tally import Logged

if TYPE_CHECKING:
    import pandas as pd

RUNS_FILES = ("runs.yml", "runs.yaml", "runs.csv")
# Names of files that may hold results, read or not: what is passed over is said.
_LIKE_A_LOG = re.compile(r"^samples_|\.(jsonl|ndjson|csv|tsv|parquet|eval)(\.\w+)?$", re.I)
MORE_KINDS = (".json", ".eval", ".yaml", ".yml")  # read where a tool's log is recognised
_AT_ONCE = 32  # checkpoints whose curves are computed together
_LONGEST_MESSAGE = 400
Key = tuple[Any, ...]  # suite, model, task, n_params, n_tokens
_CURVE = [*CHECKPOINT, "k", "n_questions", "pass_at_k", "neg_log_pass", "mean_nll"]
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
    """

    curves: pd.DataFrame
    skipped: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    files: int = 0
    counts: pd.DataFrame | None = None
    inputs: list[Path] = field(default_factory=list)


def read_results(
    paths: str | Path | Sequence[str | Path],
    *,
    runs: str | Path | Mapping[str, Any] | None = None,
    skip_bad: bool = False,
    n_jobs: int | None = None,
    progress: bool = False,
    k: npt.ArrayLike | None = None,
    suite: str = "own",
) -> ImportedResults:
    """Read evaluation logs and tables into one curve table.

    Parameters
    ----------
    paths : path or sequence of paths
        Files, or folders that are walked for them:

        * logs of the lm-evaluation-harness, ``samples_TASK_DATE.jsonl`` (``--log_samples``; see
          :mod:`t2lib.evals.harness` for what is read and what cannot be known);
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

    Returns
    -------
    ImportedResults

    Raises
    ------
    DataError
        One line, ``FILE: row R, column C: what is wrong``. With ``skip_bad``, only where the runs
        file is wrong or nothing at all is left.
    ValueError
        Where ``k`` is no list of whole numbers of 1 or more.

    Notes
    -----
    From samples, pass@k is the unbiased estimator of :func:`t2lib.pass_at_k`; from likelihoods, the
    mean over questions of 1 - (1 - exp(-nll))^k.
    """
    from tqdm import tqdm

    grid = _grid(k)
    roots = [Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
    runs = _runs_file(roots) if runs is None else runs
    table = None if runs is None else read_runs(runs)
    bad = _Bad(raise_first=not skip_bad)
    files, notes = _find_files(roots, bad)
    found = _Collected(notes)
    fault = ""

    def until_fault() -> Iterator[_File]:
        for file in files:
            if fault:
                return
            yield file

    names = _RunNames(table)
    calls = (partial(_read_file, file, names.of(file), suite, grid) for file in until_fault())
    done = run(calls, n_jobs=n_jobs)
    for read in tqdm(done, total=len(files), desc="files", unit="file", disable=not progress):
        if not isinstance(read, str):
            found.add(read)
        elif skip_bad:
            bad.add(read)
        else:
            fault = fault or read  # files under way are finished, no further ones are begun
    if fault:
        bad.add(fault)
    curves = found.table(bad)
    counts = found.counts(curves)
    inputs = [path for file in files for path in (file.path, results_file(file.path))]
    inputs += [] if runs is None or isinstance(runs, Mapping) else [Path(runs)]
    return ImportedResults(curves, bad.messages, found.notes, found.files, counts, inputs)


def _grid(k: npt.ArrayLike | None) -> npt.NDArray[np.int64] | None:
    if k is None:
        return None
    grid = np.unique(np.asarray(k, dtype=float).ravel())
    if grid.size == 0 or not np.all((grid >= 1) & (grid <= 2.0**53) & (grid == np.floor(grid))):
        raise ValueError(f"k is {clip(str(k))}: want whole numbers of 1 or more")
    return grid.astype(np.int64)


class _Bad:
    """Faults: the first one raises, or all are kept."""

    def __init__(self, *, raise_first: bool) -> None:
        self.raise_first = raise_first
        self.messages: list[str] = []

    def add(self, message: str) -> None:
        message = " ".join(plain(message).split())  # a file's name may hold anything
        if self.raise_first:
            raise DataError(message)
        self.messages.append(message)


# --- which files ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _File:
    """A file to read, and the folders that may name its run, the outermost first."""

    path: Path
    folders: tuple[str, ...]


def _find_files(roots: list[Path], bad: _Bad) -> tuple[list[_File], list[str]]:
    """List the files to read, each once however many paths lead to it; and notes on others."""
    if not roots:
        raise DataError("no files or folders to read")
    found: dict[Path, _File] = {}
    others: list[Path] = []
    for root in roots:
        if not root.exists():
            bad.add(f"{root}: no such file or folder")
            continue
        whole = root.resolve()
        if root.is_dir():
            for path in _walk(root, bad, others):
                inner = path.parent.relative_to(root).parts
                found.setdefault(path.resolve(), _File(path, (whole.name, *inner)))
        elif problem := _unreadable(root):
            bad.add(problem)
        elif not _is_read(root):
            bad.add(f"{root}: unknown kind of file: want one of {', '.join(KINDS)}")
        else:
            found.setdefault(whole, _File(root, (whole.parent.name,)))
    if not found:
        first = f"; {bad.messages[0]}" if bad.messages else ""
        raise DataError(f"{roots[0]}: no {', '.join(KINDS)} files found{first}")
    return list(found.values()), _notes_on(others)


def _is_read(path: Path) -> bool:
    """Tell whether a reader takes a file: any table, of other kinds only a tool's own log."""
    if kind_of(path) in KINDS:
        return True
    return path.suffix in MORE_KINDS and any(one.sniff(path) for one in READERS.values())


def _notes_on(others: list[Path]) -> list[str]:
    """Name what looks like a log and was not read, one note a kind."""
    kinds: dict[str, list[Path]] = {}
    notes = []
    for path in others:
        if (results := code_tests.results_of(path)) is not None:
            notes.append(f"{path}: samples without verdicts: read are those in {results.name}")
        else:
            kinds.setdefault("".join(path.suffixes[-2:]), []).append(path)
    return notes + [
        f"not read: {len(paths)} of kind {kind or 'without a suffix'}, which may be logs (read are "
        f"{', '.join(KINDS)}, the first two also with {' or '.join(PACKED)}); the first: {paths[0]}"
        for kind, paths in kinds.items()
    ]


def _walk(root: Path, bad: _Bad, others: list[Path]) -> Iterator[Path]:
    """Yield the files below a folder, in a fixed order, following no link out of it.

    Those that look like logs, and are of a kind that is not read, are put into ``others``.
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
            elif is_ours and code_tests.results_of(path) is None:
                yield path
            elif _LIKE_A_LOG.search(name) and name not in RUNS_FILES:
                others.append(path)


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
            # The harness writes EleutherAI/pythia-14m as a folder EleutherAI__pythia-14m.
            for form in {name, name.replace("/", "__")}:
                self.named.setdefault(form, []).append(name)

    def of(self, file: _File) -> dict[str, Run] | None:
        """Return the runs that a file may be of: a log's few by its path, for a table all."""
        if self.runs is None or not file.path.name.startswith("samples_"):
            return self.runs
        parts = file.folders
        found = {
            name: self.runs[name]
            for start in range(len(parts))
            for stop in range(start + 1, len(parts) + 1)
            for name in self.named.get("/".join(parts[start:stop]), ())
        }
        return found


def _run_of(file: _File, runs: dict[str, Run] | None) -> Run:
    """Return the run that a log's folders name."""
    if runs is None:
        raise DataError(f"{file.path}: no N and D: give a runs file that has the run's name")
    matches = _RunNames(runs).of(file) or {}
    if not matches:
        shown = clip("/".join(file.folders[1:] or file.folders))
        raise DataError(f"{file.path}: run {shown!r} has no N and D: it is not in the runs file")
    longest = max(matches, key=len)
    rivals = [name for name in matches if name not in longest]
    if rivals:
        raise DataError(f"{file.path}: is it run {clip(rivals[0])!r} or {clip(longest)!r}?")
    return runs[longest]


# --- one file -------------------------------------------------------------------------------------


@dataclass
class _Read:
    """What one file came to."""

    path: Path
    curves: pd.DataFrame
    notes: list[str] = field(default_factory=list)
    # Of each checkpoint that was sampled: samples and right samples, shape (2, questions).
    counts: dict[Key, npt.NDArray[np.integer[Any]]] = field(default_factory=dict)


def _read_file(
    file: _File, runs: dict[str, Run] | None, suite: str, grid: npt.NDArray[np.int64] | None
) -> _Read | str:
    """Read one file; a fault is returned as its message, so that the others go on."""
    try:
        reader = next(reader for reader in READERS.values() if reader.sniff(file.path))
        return reader.read(file, runs, suite, grid)
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


def _read_log(
    file: _File, runs: dict[str, Run] | None, suite: str, grid: npt.NDArray[np.int64] | None
) -> _Read:
    mine = _run_of(file, runs)
    return _of_run(mine, Logged(*read_samples(file.path)), file.path, suite, grid)


def _reader_of(read: Callable[[Path], Logged]) -> Callable[[_File, Any, str, Any], _Read]:
    """Make a reader of what turns a log into its tasks' answers."""
    return partial(_read_other, read)


def _read_other(
    read: Callable[[Path], Logged],
    file: _File,
    runs: dict[str, Run] | None,
    suite: str,
    grid: npt.NDArray[np.int64] | None,
) -> _Read:
    """Read another tool's log; its run is named by the folders, or by the log itself."""
    logged = read(file.path)
    inner = [part for part in logged.run.split("/") if part]
    mine = _run_of(replace(file, folders=(*file.folders, *inner)), runs)
    return _of_run(mine, logged, file.path, suite, grid)


def _of_run(
    mine: Run, logged: Logged, path: Path, suite: str, grid: npt.NDArray[np.int64] | None
) -> _Read:
    answers = {
        (suite, mine.model, one.task, mine.n_params, mine.n_tokens): one for one in logged.answers
    }
    return _reduced(path, answers, grid, logged.notes)


def _reduced(
    path: Path,
    answers: dict[Key, Answers],
    grid: npt.NDArray[np.int64] | None,
    notes: list[str] | None = None,
) -> _Read:
    """Keep of a file's answers their curves, and the counts: likelihoods would fill the memory."""
    counts = {
        key: _small(np.stack([one.n_samples, one.n_correct]))
        for key, one in answers.items()
        if one.n_samples is not None and one.n_correct is not None
    }
    return _Read(path, _curves(path, answers, grid), notes or [], counts)


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


def _read_table(
    file: _File, runs: dict[str, Run] | None, suite: str, grid: npt.NDArray[np.int64] | None
) -> _Read:
    """Read a table of questions or curves, chunk by chunk, and reduce it to curves."""
    import pandas as pd

    path = file.path
    schema = ""
    curves: list[pd.DataFrame] = []
    groups: dict[Key, list[pd.DataFrame]] = {}
    for chunk in chunks(path):
        schema = schema or _schema_of(chunk, path)
        with warnings.catch_warnings():  # pandera's own, while it collects what is wrong
            warnings.simplefilter("ignore", FutureWarning)
            checked = validate(_completed(chunk, path, runs, suite), schema, str(path))
        _require_sizes(checked, path)
        if schema == "curves":
            curves.append(checked[_CURVE])
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
        return _Read(path, table.reset_index(drop=True))
    answers = {}
    for key, parts in groups.items():
        answers[key] = _answers(path, key, pd.concat(parts))
        parts.clear()
    return _reduced(path, answers, grid)


def _require_sizes(table: pd.DataFrame, path: Path) -> None:
    """Refuse N and D that no model has: their powers would leave the floats."""
    for name in ("n_params", "n_tokens"):
        wrong = table[name][(table[name] < 1) | (table[name] > LARGEST_SIZE)]
        if len(wrong):
            what = f"{wrong.iloc[0]:g} is not between 1 and {LARGEST_SIZE:g}"
            raise DataError(f"{path}: row {wrong.index[0]}, column {name}: {what}")


def _answers(path: Path, key: Key, rows: pd.DataFrame) -> Answers:
    """Turn a checkpoint's rows into arrays; a question may be there once."""
    repeats = rows.index[rows["question"].duplicated()]
    if len(repeats):
        raise DataError(f"{path}: row {repeats[0]}, column question: repeats an earlier row")
    if "nll" in rows:
        return Answers(key[2], nll=rows["nll"].to_numpy())
    return Answers(
        key[2], n_samples=rows["n_samples"].to_numpy(), n_correct=rows["n_correct"].to_numpy()
    )


def _schema_of(table: pd.DataFrame, path: Path) -> str:
    """Tell by its columns what a table holds."""
    names = [name for name, needed in _NEEDED.items() if needed[-1] in table.columns]
    if len(names) == 1:
        return names[0]
    if names:
        what = " and ".join(_NEEDED[name][-1] for name in names)
        raise DataError(f"{path}: columns {what}: one table holds one kind of result")
    header = clip(", ".join(map(str, table.columns)))
    raise DataError(f"{path}: no column nll, n_correct or pass_at_k (there is: {header})")


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
        Reads a file to its curves: file, runs, suite's name and grid of k to what was read.
    needs : str
        What must be in it or beside it, for people.
    """

    sniff: Callable[[Path], bool]
    read: Callable[[_File, Any, str, Any], _Read]
    needs: str


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
    "lm-evaluation-harness": Reader(
        _is_log, _read_log, "samples_TASK_DATE.jsonl, and a runs file with N and D of each run"
    ),
    "table": Reader(
        lambda path: kind_of(path) in KINDS,
        _read_table,
        "columns model, task, n_params, n_tokens, and those of questions or of curves",
    ),
}


# --- all files ------------------------------------------------------------------------------------


class _Collected:
    """The curves of all files so far."""

    def __init__(self, notes: list[str]) -> None:
        self.parts: list[tuple[Path, pd.DataFrame]] = []
        self.sampled: list[tuple[Key, npt.NDArray[np.integer[Any]]]] = []
        self.notes = [plain(note) for note in notes]
        self.files = 0

    def add(self, read: _Read) -> None:
        self.files += 1
        self.parts.append((read.path, read.curves))
        self.sampled += read.counts.items()
        notes = [plain(note) for note in read.notes]
        self.notes += [note for note in notes if note not in self.notes]

    def table(self, bad: _Bad) -> pd.DataFrame:
        """Put all together; what contradicts itself is left out as a whole."""
        import pandas as pd

        if not self.parts:
            raise DataError(f"nothing could be read: {bad.messages[0]}")
        curves = pd.concat([part for _, part in self.parts], ignore_index=True)
        sizes = [len(part) for _, part in self.parts]
        curves["file"] = np.repeat([str(path) for path, _ in self.parts], sizes)
        curves = self._without_lookalikes(curves, bad)
        curves = self._without_repeats(curves, bad)
        curves = self._without_mixtures(curves, bad)
        if curves.empty:
            raise DataError(f"nothing could be read: {bad.messages[0]}")
        self._compare_questions(curves)
        order = ["suite", "task", "model", "n_tokens", "k"]
        curves = curves.sort_values(order, ignore_index=True)[_CURVE]
        for name in WORDS:
            curves[name] = curves[name].astype(object)
        return validate(curves, "curves", "results")

    def counts(self, curves: pd.DataFrame) -> pd.DataFrame | None:
        """Put the sampled questions of the checkpoints that are in the curves into one table."""
        import pandas as pd

        kept = set(zip(*(curves[name] for name in CHECKPOINT), strict=True))
        sampled = [(key, counts) for key, counts in self.sampled if key in kept]
        if not sampled:
            return None
        checkpoints = pd.DataFrame([key for key, _ in sampled], columns=CHECKPOINT)
        for name in WORDS:  # a word for each question would take more memory than its counts
            checkpoints[name] = checkpoints[name].astype("category")
        rows = np.repeat(np.arange(len(sampled)), [counts.shape[1] for _, counts in sampled])
        columns = {name: checkpoints[name].array.take(rows) for name in CHECKPOINT}
        n, c = np.concatenate([counts for _, counts in sampled], axis=1).astype(np.int64)
        return pd.DataFrame(columns | {"n_samples": n, "n_correct": c}, copy=False)

    def _without_lookalikes(self, curves: pd.DataFrame, bad: _Bad) -> pd.DataFrame:
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

    def _without_repeats(self, curves: pd.DataFrame, bad: _Bad) -> pd.DataFrame:
        """Refuse two runs with one name: a checkpoint in two files, or a model of two sizes."""
        wrong = np.zeros(len(curves), dtype=bool)
        for key, rows in curves.groupby(["suite", "model", "task", "n_tokens"], observed=True):
            files = rows["file"].unique()
            if len(files) > 1:
                what = f"{clip(str(key[1]))}, task {clip(str(key[2]))}, {key[3]:g} tokens"
                bad.add(f"{files[1]}: two runs with one name: {what} is in {files[0]} too")
                wrong[rows.index] = True
        for key, rows in curves.groupby(["suite", "model"], observed=True):
            sizes = rows["n_params"].unique()
            if len(sizes) > 1:
                file = rows["file"][rows["n_params"] == sizes[1]].iloc[0]
                what = f"{clip(str(key[1]))} has {sizes[0]:g} and {sizes[1]:g} parameters"
                bad.add(f"{file}: two runs with one name: {what}")
                wrong[rows.index] = True
        return curves[~wrong].reset_index(drop=True)

    def _without_mixtures(self, curves: pd.DataFrame, bad: _Bad) -> pd.DataFrame:
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

    def _compare_questions(self, curves: pd.DataFrame) -> None:
        for key, numbers in curves.groupby(["suite", "task"], observed=True)["n_questions"]:
            if numbers.min() != numbers.max():
                span = f"{numbers.min()} to {numbers.max()}"
                self.notes.append(
                    f"task {clip(str(key[1]))}: checkpoints answered {span} questions"
                )
