"""Readers of the released files' own layouts: questions and training runs.

Every function fetches what it reads (see :mod:`t2lib.data.registry`), checks it, and returns a
table in the library's own columns.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from t2lib._checks import DataError, clip, require_one_of
from t2lib.data.registry import NotThereError, data_folder, fetch, fetch_all, read_json
from t2lib.data.schemas import CHECKPOINT, validate
from t2lib.data.tables import chunks, json_lines, read

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")

# How many checkpoints' questions are in memory at a time: 10,000 of each are 2.5 MB.
CHECKPOINTS_AT_ONCE = 64
GEMSTONES_LAST_STEP = 83475  # the step that upstream calls "main"

# All weights, both embedding matrices included, as in the models' names and as the other suites
# count. From Biderman et al. (2023), table 1 (without embeddings), plus 2 x vocabulary x width.
PYTHIA_PARAMS = {
    "14M": 14_067_712,
    "70M": 70_426_624,
    "160M": 162_322_944,
    "410M": 405_334_016,
    "1B": 1_011_781_632,
    "1.4B": 1_414_647_808,
    "2.8B": 2_775_208_960,
    "6.9B": 6_857_302_016,
    "12B": 11_846_072_320,
}
# The released nicknames round the tokens; the published checkpoints are these steps.
PYTHIA_STEPS = {
    "2M": 1,
    "64M": 32,
    "512M": 256,
    "2B": 1_000,
    "6B": 3_000,
    "20B": 10_000,
    "60B": 30_000,
    "200B": 100_000,
    "300B": 143_000,
}
PYTHIA_TOKENS_PER_STEP = 2_097_152
GADRE_VALIDATION = "c4_val"


class Likelihoods(NamedTuple):
    """Questions of some checkpoints, of which the right answer's likelihood is known.

    Attributes
    ----------
    checkpoints : DataFrame, one row a checkpoint
        ``suite, model, task, n_params, n_tokens``.
    nll : ndarray, shape (checkpoints, questions)
        Nats.
    """

    checkpoints: pd.DataFrame
    nll: npt.NDArray[np.floating[Any]]


class Samples(NamedTuple):
    """Questions of some checkpoints, of which samples were scored right or wrong.

    Attributes
    ----------
    questions : DataFrame, one row a checkpoint and question
        ``suite, model, task, n_params, n_tokens, question, n_samples, n_correct``.
    k : ndarray of int
        Values of k wanted besides the powers of two.
    """

    questions: pd.DataFrame
    k: npt.NDArray[np.int64]


Part = Likelihoods | Samples


def load_points(name: str) -> pd.DataFrame:
    """Load training runs with their final losses.

    Parameters
    ----------
    name : str
        * "chinchilla": the 245 points of Hoffmann et al.'s figure 4, as Besiroglu et al. read
          them off (no model names; tokens = FLOPs / 6N);
        * "porian": Porian et al.'s RefinedWeb grid of compute levels;
        * "gemstones", "gemstones_dclm": losses on FineWeb-Edu and on DCLM, every checkpoint;
        * "gadre": 104 over-trained models of three training sets (the first part of the model's
          name), all judged on the same set, C4 validation, the largest of the eight released.

    Returns
    -------
    DataFrame
        ``suite, model, n_params, n_tokens, train_flops, loss``; loss in nats per token;
        train_flops as released for Chinchilla and Porian, 6 N D for the others.

    Raises
    ------
    DataError
        For an unknown name or a file that breaks its layout.
    FetchError
        Where the released file cannot be had.
    """
    readers: dict[str, Callable[[], pd.DataFrame]] = {
        "chinchilla": _chinchilla_points,
        "porian": _porian_points,
        "gemstones": lambda: _gemstones_points("edu"),
        "gemstones_dclm": lambda: _gemstones_points("dclm"),
        "gadre": _gadre_points,
    }
    require_one_of(name, readers, "set of points")
    table = readers[name]().assign(suite=name.removesuffix("_dclm"))
    order = ["suite", "model", "n_params", "n_tokens", "train_flops", "loss"]
    return validate(table[order], "points", name).reset_index(drop=True)


# --- Gemstones ------------------------------------------------------------------------------------


def _gemstones_runs(dataset: str) -> pd.DataFrame:
    """Read every checkpoint: model, step, n_params, n_tokens, loss; by model and step."""
    import pandas as pd

    path = fetch(f"gemstones_loss_{dataset}")
    names = {
        "run_name": "model",
        "step": "step",
        "params_active_precise": "n_params",
        "tokens": "n_tokens",
        "final_loss": "loss",
    }
    table = _pick(pd.DataFrame([row for _, row in json_lines(path)]), names, path)
    return table.sort_values(["model", "step"], ignore_index=True)


def _gemstones_points(dataset: str) -> pd.DataFrame:
    return _with_flops(_gemstones_runs(dataset))


def _gemstones_step(folder: str) -> int:
    return GEMSTONES_LAST_STEP if folder == "main" else int(folder.removeprefix("step_"))


def gemstones_questions(task: str) -> pd.DataFrame:
    """Read a task whole, as its question table."""
    import pandas as pd

    checkpoints, nll = gemstones_nll(task)
    table = checkpoints.loc[checkpoints.index.repeat(nll.shape[1])].reset_index(drop=True)
    for name in ("suite", "model", "task"):  # millions of rows share a few words
        table[name] = pd.Categorical(table[name])
    table["question"] = np.tile(np.arange(nll.shape[1]), len(checkpoints))
    table["nll"] = nll.ravel().astype(float)
    return validate(table, "questions_nll", f"gemstones {task}")


def gemstones_nll(task: str) -> Likelihoods:
    """Read a task whole: its checkpoints and their losses."""
    import pandas as pd

    parts = list(gemstones_parts(task))
    checkpoints = pd.concat([part.checkpoints for part in parts], ignore_index=True)
    return Likelihoods(checkpoints, np.concatenate([part.nll for part in parts]))


def gemstones_parts(task: str) -> Iterator[Likelihoods]:
    """Read a task a few checkpoints at a time, so that memory does not grow with their number.

    The order is that of the compact table; of JSON files, by model and step.

    Raises
    ------
    DataError
        Where a checkpoint has no row in the losses file or comes twice, or checkpoints differ in
        their questions.
    """
    try:
        path = fetch(f"gemstones_nll_{task}")
    except NotThereError:
        parts = _nll_of_json_files(task)
    else:
        parts = read_nll_parts(path)
    runs = _gemstones_runs("edu")[["model", "step", "n_params", "n_tokens"]]
    seen: set[tuple[str, int]] = set()
    n_questions = None
    for found, nll in parts:
        if nll.shape[1] != (n_questions := n_questions or nll.shape[1]):
            raise DataError(f"gemstones {task}: checkpoints differ in their questions")
        for key in zip(found["model"], found["step"], strict=True):
            if key in seen:
                raise DataError(f"gemstones {task}: {key[0]}, step {key[1]}: comes twice")
            seen.add(key)
        checkpoints = found.merge(runs, on=["model", "step"], how="inner")
        if len(checkpoints) != len(found):
            raise DataError(f"gemstones {task}: a checkpoint has no row in the losses file")
        checkpoints.insert(0, "suite", "gemstones")
        checkpoints.insert(2, "task", task)
        yield Likelihoods(checkpoints.drop(columns="step"), nll)


def read_nll_parts(path: Path) -> Iterator[tuple[pd.DataFrame, npt.NDArray[np.float32]]]:
    """Read the compact form: one row a checkpoint, with the list of its questions' losses.

    Yields
    ------
    tuple of DataFrame (model, step) and ndarray (checkpoints, questions)
        CHECKPOINTS_AT_ONCE rows each, the last one less.

    Raises
    ------
    DataError
        Where it is no Parquet, lacks a column, or holds a loss that is negative or not finite.
    """
    import pyarrow
    import pyarrow.parquet

    first = 0
    try:
        # Neither option reads a row group whole, and a file may be a single one.
        with pyarrow.parquet.ParquetFile(path, buffer_size=2**20, pre_buffer=False) as file:
            columns = ["model", "step", "nll"]
            for name in columns:
                if name not in file.schema_arrow.names:
                    raise KeyError(f"no column {name}")
            for batch in file.iter_batches(CHECKPOINTS_AT_ONCE, columns=columns):
                yield _nll_of_batch(batch, path, first)
                first += batch.num_rows
    except (pyarrow.ArrowException, OSError, KeyError) as error:
        raise DataError(f"{path}: not the compact table: {' '.join(str(error).split())}") from None


def _nll_of_batch(
    batch: Any, path: Path, first: int
) -> tuple[pd.DataFrame, npt.NDArray[np.float32]]:
    losses = batch.column("nll")
    try:
        nll = losses.flatten().to_numpy(zero_copy_only=False).reshape(batch.num_rows, -1)
    except ValueError:
        raise DataError(f"{path}: column nll: checkpoints differ in their questions") from None
    _require_losses(
        nll, lambda row, at: f"{path}: row {first + row + 1}, column nll: question {at}"
    )
    return batch.select(["model", "step"]).to_pandas(), nll


def _nll_of_json_files(task: str) -> Iterator[tuple[pd.DataFrame, npt.NDArray[np.float32]]]:
    """Read upstream's layout, MODEL/STEP/losses_FILE.json, one file after the other.

    HellaSwag's files hold two lists of losses, MMLU's a list for each of its subjects.
    """
    import pandas as pd

    kind, _, subject = task.partition("_")
    key = subject or "main"
    files = [
        (path.parts[-3], _gemstones_step(path.parts[-2]), path)
        for path in fetch_all(f"gemstones_json/{kind}").values()
    ]
    for some in batched(sorted(files), CHECKPOINTS_AT_ONCE):
        found = pd.DataFrame([file[:2] for file in some], columns=["model", "step"])
        losses = [read_nll_json(path, key) for _, _, path in some]
        if len({len(nll) for nll in losses}) > 1:
            raise DataError(f"gemstones {task}: checkpoints differ in their questions")
        yield found, np.stack(losses)


def batched(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Cut a sequence into pieces of this size, the last one smaller."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def read_nll_json(path: Path, key: str = "main") -> npt.NDArray[np.float32]:
    """Read one upstream file of per-question losses, ``{"main": [nll of question 0, ...]}``.

    HellaSwag's files hold two lists, ``zeroshot`` and ``indomain``. Upstream's values are float32
    written out in full, so float32 loses nothing.

    Raises
    ------
    DataError
        Where it is no JSON, has no such list, or holds a loss that is no number, negative or not
        finite; "row" is then the place in the list, from 1.
    """
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get(key), list):
        raise DataError(f"{path}: column {key}: missing or not a list")
    if not content[key]:
        raise DataError(f"{path}: column {key}: the list is empty")
    for row, value in enumerate(content[key], start=1):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise DataError(f"{path}: row {row}, column {key}: {value!r} is not a number")
    losses = np.asarray(content[key], dtype=np.float32)
    _require_losses(losses, lambda at: f"{path}: row {at + 1}, column {key}")
    return losses


def _require_losses(losses: npt.NDArray[np.float32], where: Callable[..., str]) -> None:
    """Raise DataError at the first loss that is none; ``where`` turns its indices into words."""
    wrong = np.argwhere(~(np.isfinite(losses) & (losses >= 0)))
    if len(wrong):
        value = losses[tuple(wrong[0])]
        raise DataError(f"{where(*wrong[0])}: {value} is not a finite number of 0 or more")


# --- Pythia ---------------------------------------------------------------------------------------


def pythia_questions(task: str) -> pd.DataFrame:
    """Read the question table of the released file, stray questions included."""
    return _pythia_samples(task).questions


def pythia_parts(task: str) -> Iterator[Samples]:
    """Read the questions that all checkpoints were asked, a few checkpoints at a time."""
    import pandas as pd

    table, grid = _pythia_samples(task)
    models = [group for _, group in common_questions(table).groupby(CHECKPOINT, sort=False)]
    for some in batched(models, CHECKPOINTS_AT_ONCE):
        yield Samples(pd.concat(some), grid)


def common_questions(table: pd.DataFrame) -> pd.DataFrame:
    """Keep the questions that more than half of a task's checkpoints were asked.

    All checkpoints of a task were asked the same 128 questions, but for one stray question in
    ``Pythia-2.8B`` and two in ``Pythia-410M`` (GSM8K), which this leaves out, and
    ``Pythia-12B`` after one step, which was asked only some (30 of GSM8K, 9 of MATH).
    """
    checkpoints = table[["model", "n_tokens"]].drop_duplicates()
    asked = table["question"].value_counts()
    common = asked.index[asked.to_numpy() > len(checkpoints) / 2]
    return table[table["question"].isin(common)]


def _pythia_samples(task: str) -> Samples:
    """Read the question table and the grid of k of the released file.

    The file repeats each question's n and c once for every k, also for k > n, where its pass@k is
    no estimate; only n and c are used.
    """
    path = fetch(f"pythia_{task}")
    names = {
        "Model Nickname": "nickname",
        "prompt_idx": "question",
        "Num. Samples": "n_samples",
        "Num. Samples Correct": "n_correct",
        "k": "k",
    }
    table, grid = _without_k(path, names)
    parts = table["nickname"].str.split("_", expand=True)
    table["suite"] = "pythia"
    table["model"] = "Pythia-" + parts[1]
    table["task"] = task
    table["n_params"] = parts[1].map(PYTHIA_PARAMS)
    table["n_tokens"] = parts[2].map(PYTHIA_STEPS) * PYTHIA_TOKENS_PER_STEP
    keys = [*CHECKPOINT, "question"]
    table = table[[*keys, "n_samples", "n_correct"]].sort_values(keys[3:], ignore_index=True)
    return Samples(validate(table, "questions_counts", str(path)), grid)


def _without_k(path: Path, names: dict[str, str]) -> tuple[pd.DataFrame, npt.NDArray[np.int64]]:
    """Read the rows that differ in more than k, and the values of k, a part of the file at a time.

    Every question comes two dozen times, once a k; what is kept is a fraction of the file.
    """
    import pandas as pd

    table, grid = pd.DataFrame(), np.empty(0, dtype=np.int64)
    word, *numbers = names
    for chunk in chunks(path, [word], numbers):
        rows = _pick(chunk, names, path).astype({names[word]: object})
        grid = np.union1d(grid, rows["k"])
        kept = [table, rows.drop(columns="k").drop_duplicates()]
        table = pd.concat([part for part in kept if len(part)]).drop_duplicates()
    return table.reset_index(drop=True), grid.astype(np.int64)


# --- the other suites -----------------------------------------------------------------------------


def _chinchilla_points() -> pd.DataFrame:
    path = fetch("chinchilla_points")
    names = {"Model Size": "n_params", "Training FLOP": "train_flops", "loss": "loss"}
    table = _pick(read(path, [], list(names)), names, path)
    return table.assign(model=None, n_tokens=table["train_flops"] / (6 * table["n_params"]))


def _porian_points() -> pd.DataFrame:
    path = fetch("porian_isoflop")
    names = {n: n for n in ("train_flops", "n_params", "n_tokens")} | {"val_loss": "loss"}
    return _pick(read(path, [], list(names)), names, path).assign(model=None)


def _gadre_runs() -> dict[str, tuple[Path, dict[str, Any]]]:
    """Read every model's file: name to its path and content."""
    files = fetch_all("gadre_models")
    return {name.split("/")[1]: (path, read_json(path)) for name, path in files.items()}


def _gadre_points() -> pd.DataFrame:
    import pandas as pd

    rows = []
    for model, (path, content) in _gadre_runs().items():
        with _layout(path):
            losses = [
                result["loss"]
                for result in content["results"]
                if any(f"/{GADRE_VALIDATION}/" in shard for shard in result["val_data"])
            ]
            size = content["hyperparameters"]
            rows.append((model, size["params"], size["tokens"], losses[0]))
    return _with_flops(pd.DataFrame(rows, columns=["model", "n_params", "n_tokens", "loss"]))


@contextlib.contextmanager
def _layout(path: Path) -> Iterator[None]:
    """Turn a key that is not where it should be into a DataError that names the file."""
    try:
        yield
    except (KeyError, IndexError, TypeError) as error:
        raise DataError(f"{path}: not upstream's layout: {error!r}") from None


def _with_flops(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(train_flops=6.0 * table["n_params"] * table["n_tokens"])


def _pick(table: pd.DataFrame, names: dict[str, str], path: Path) -> pd.DataFrame:
    """Take and rename columns; DataError where one is missing."""
    for name in names:
        if name not in table.columns:
            raise DataError(f"{path}: column {name}: missing")
    return table[list(names)].rename(columns=names)


# --- our own testbed ------------------------------------------------------------------------------

SAMPLED = "_sampled"  # the ending of a task of the testbed whose questions were sampled


def testbed_questions(task: str) -> pd.DataFrame:
    """Read the question table of a task from ``data/testbed``."""
    import pyarrow.parquet as pq

    is_sampled = task.endswith(SAMPLED)
    path = data_folder() / "testbed" / ("samples.parquet" if is_sampled else "likelihoods.parquet")
    words = ["suite", "model", "task"]
    try:  # words as categories until they are checked: a third of the time
        found = pq.read_table(path, filters=[("task", "==", task)], read_dictionary=words)
        table = found.to_pandas()
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not a table of questions: {clip(str(error))}") from None
    checked = validate(table, "questions_counts" if is_sampled else "questions_nll", str(path))
    return checked.astype(dict.fromkeys(words, object))


def testbed_parts(task: str) -> Iterator[Part]:
    """Read the questions of a few checkpoints at a time; every one was asked the same."""
    table = testbed_questions(task)
    n_questions = table["question"].nunique()
    checkpoints = table[CHECKPOINT].iloc[::n_questions].reset_index(drop=True)
    if len(checkpoints) * n_questions != len(table) or checkpoints.duplicated().any():
        raise DataError(f"testbed {task}: checkpoints differ in their questions")
    for start in range(0, len(checkpoints), CHECKPOINTS_AT_ONCE):
        some = checkpoints.iloc[start : start + CHECKPOINTS_AT_ONCE]
        rows = table.iloc[start * n_questions : (start + len(some)) * n_questions]
        if task.endswith(SAMPLED):
            yield Samples(rows, np.empty(0, dtype=np.int64))
        else:
            nll = rows["nll"].to_numpy(np.float32).reshape(len(some), n_questions)
            yield Likelihoods(some.reset_index(drop=True), nll)
