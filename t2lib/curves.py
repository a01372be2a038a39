"""Tables of checkpoints: the embedded ones, and the readers and builder behind them.

Embedded (no network): :func:`load_curves`, :func:`load_histograms`, :func:`load_published`.
From released files (see :mod:`t2lib.released`): :func:`load_questions`, :func:`load_points`,
:func:`load_accuracies`, and :func:`build`, which computes ``data/curves`` anew.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from t2lib import released
from t2lib.passk import neg_log_pass_from_nll, pass_at_k, pass_at_k_from_nll
from t2lib.released import NotThereError, data_folder, fetch, fetch_all, read_json
from t2lib.schemas import DataError, read_jsonl, read_table, validate

if TYPE_CHECKING:
    import pandas as pd

TASKS = {
    "gemstones": (
        "arcc",
        "arce",
        "coqa",
        "hellaswag_zeroshot",
        "openbook",
        "piqa",
        "siqa",
        "winogrande",
    ),
    "pythia": ("gsm8k", "math"),
}
BIN_WIDTH = 0.125  # of log p in the histograms, nats
GEMSTONES_K = 2 ** np.arange(17)
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


# --- embedded tables ------------------------------------------------------------------------------


def load_curves(suite: str) -> pd.DataFrame:
    """Load the embedded pass@k curves of a suite.

    Parameters
    ----------
    suite : str
        "gemstones" or "pythia".

    Returns
    -------
    DataFrame
        One row a checkpoint, task and k: ``suite, model, task, n_params, n_tokens, k,
        n_questions, pass_at_k, neg_log_pass, mean_nll``. The last two are means over questions of
        -log pass@k and of the NLL, in nats, and null for Pythia, which has samples only.
        A checkpoint's curve averages over the same questions at every k.

    Raises
    ------
    DataError
        For an unknown suite or a file that breaks the schema.
    """
    return _read_embedded(suite, "", "curves")


def load_histograms(suite: str) -> pd.DataFrame:
    """Load the embedded histograms of the questions' log p.

    Parameters
    ----------
    suite : str
        "gemstones" (p = exp(-NLL)) or "pythia" (p = c / n).

    Returns
    -------
    DataFrame
        One row a checkpoint, task and filled bin: ``suite, model, task, n_params, n_tokens,
        log_p_low, log_p_high, n_questions``. Bins are 0.125 nats wide and hold
        ``log_p_low <= log p < log_p_high``, the last one also log p = 0. Questions that were
        never answered (c = 0) are the row with both edges at -inf.

    Raises
    ------
    DataError
        For an unknown suite or a file that breaks the schema.
    """
    return _read_embedded(suite, "_histograms", "histograms")


def load_published(name: str) -> pd.DataFrame:
    """Load a table of published numbers, ``data/published/NAME.csv``.

    Returns
    -------
    DataFrame
        Every row names its source; ``data/README.md`` describes the tables.

    Raises
    ------
    DataError
        For an unknown name or a row without a source.
    """
    folder = data_folder() / "published"
    names = sorted(path.stem for path in folder.glob("*.csv"))
    _require_one_of(name, names, "published table")
    return read_table(folder / f"{name}.csv", "published")


def _read_embedded(suite: str, ending: str, schema: str) -> pd.DataFrame:
    _require_one_of(suite, TASKS, "suite")
    return read_table(data_folder() / "curves" / f"{suite}{ending}.parquet", schema)


def _require_one_of(name: str, options: Any, what: str) -> None:
    if name not in options:
        raise DataError(f"no {what} named {name!r}: want one of {', '.join(options)}")


# --- tables of released files ---------------------------------------------------------------------


def load_questions(suite: str, task: str) -> pd.DataFrame:
    """Load the per-question table of a task.

    Gemstones come from the compact table where a mirror has it, otherwise from upstream's 770
    JSON files of the task.

    Parameters
    ----------
    suite, task : str
        "gemstones" with one of its eight tasks, or "pythia" with "gsm8k" or "math".

    Returns
    -------
    DataFrame
        ``suite, model, task, n_params, n_tokens, question`` and either ``nll`` (nats, Gemstones:
        per token of the right answer) or ``n_samples, n_correct`` (Pythia).

    Raises
    ------
    DataError
        For an unknown suite or task, or a table that breaks its schema.
    FetchError
        Where the released file cannot be had.
    """
    import pandas as pd

    _require_one_of(suite, TASKS, "suite")
    _require_one_of(task, TASKS[suite], f"{suite} task")
    if suite == "pythia":
        return _pythia_questions(task)[0]
    checkpoints, nll = _gemstones_nll(task)
    n_questions = nll.shape[1]
    table = checkpoints.loc[checkpoints.index.repeat(n_questions)].reset_index(drop=True)
    for name in ("suite", "model", "task"):  # millions of rows share a few words
        table[name] = pd.Categorical(table[name])
    table["question"] = np.tile(np.arange(n_questions), len(checkpoints))
    table["nll"] = nll.ravel().astype(float)
    return validate(table, "questions_nll", f"gemstones {task}")


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
          name), all judged on the C4 validation set, the one in-the-wild set common to all.

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
    _require_one_of(name, readers, "set of points")
    table = readers[name]().assign(suite=name.removesuffix("_dclm"))
    order = ["suite", "model", "n_params", "n_tokens", "train_flops", "loss"]
    return validate(table[order], "points", name)


def load_accuracies(suite: str) -> pd.DataFrame:
    """Load multiple-choice accuracies of a suite's checkpoints.

    Parameters
    ----------
    suite : str
        "gemstones" or "gadre".

    Returns
    -------
    DataFrame
        ``suite, model, task, n_params, n_tokens, accuracy``.

    Raises
    ------
    DataError
        For an unknown suite or a file that breaks its layout.
    FetchError
        Where the released files cannot be had.
    """
    readers = {"gemstones": _gemstones_accuracies, "gadre": _gadre_accuracies}
    _require_one_of(suite, readers, "suite with accuracies")
    table = readers[suite]().assign(suite=suite)
    order = ["suite", "model", "task", "n_params", "n_tokens", "accuracy"]
    return validate(table[order], "accuracies", suite)


# --- Gemstones ------------------------------------------------------------------------------------


def _gemstones_runs(dataset: str) -> pd.DataFrame:
    """Read one checkpoint a row: model, step, n_params, n_tokens, loss; sorted by model and step."""
    path = fetch(f"gemstones_loss_{dataset}")
    names = {
        "run_name": "model",
        "step": "step",
        "params_active_precise": "n_params",
        "tokens": "n_tokens",
        "final_loss": "loss",
    }
    table = _pick(read_jsonl(path), names, path)
    return table.sort_values(["model", "step"], ignore_index=True)


def _gemstones_points(dataset: str) -> pd.DataFrame:
    return _with_flops(_gemstones_runs(dataset))


def _gemstones_accuracies() -> pd.DataFrame:
    import pandas as pd

    table = pd.read_parquet(fetch("gemstones_accuracy"))
    keys = table.index.to_series().str.extract(r"^(?P<model>.+)-(?P<step>main|step_\d+)$")
    keys["step"] = [_gemstones_step(step) for step in keys["step"]]
    table = table.join(keys).melt(["model", "step"], var_name="task", value_name="accuracy")
    runs = _gemstones_runs("edu")[["model", "step", "n_params", "n_tokens"]]
    return table.merge(runs, on=["model", "step"], validate="many_to_one")


def _gemstones_step(folder: str) -> int:
    return GEMSTONES_LAST_STEP if folder == "main" else int(folder.removeprefix("step_"))


def _gemstones_nll(task: str) -> tuple[pd.DataFrame, npt.NDArray[np.float32]]:
    """Read a task's checkpoints (rows sorted by model and step) and NLL, (checkpoints, questions)."""
    try:
        path = fetch(f"gemstones_nll_{task}")
    except NotThereError:
        found, nll = _nll_of_json_files(task)
    else:
        found, nll = read_nll_table(path)
    runs = _gemstones_runs("edu")[["model", "step", "n_params", "n_tokens"]]
    runs = runs.merge(found.assign(row=np.arange(len(found))), on=["model", "step"], how="inner")
    if len(runs) != len(found):
        raise DataError(f"gemstones {task}: a checkpoint has no row in the losses file")
    runs.insert(0, "suite", "gemstones")
    runs.insert(2, "task", task)
    return runs.drop(columns=["row", "step"]), nll[runs["row"].to_numpy()]


def read_nll_table(path: Path) -> tuple[pd.DataFrame, npt.NDArray[np.float32]]:
    """Read the compact form: one row a checkpoint, with the list of its questions' losses.

    Returns
    -------
    tuple of DataFrame (model, step) and ndarray (checkpoints, questions)

    Raises
    ------
    DataError
        Where it is no Parquet, lacks a column, or holds a loss that is negative or not finite.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path, columns=["model", "step", "nll"])
    except (pyarrow.ArrowException, OSError, KeyError) as error:
        raise DataError(f"{path}: not the compact table: {' '.join(str(error).split())}") from None
    lists = table.column("nll").combine_chunks()
    try:
        nll = lists.flatten().to_numpy(zero_copy_only=False).reshape(table.num_rows, -1)
    except ValueError:
        raise DataError(f"{path}: column nll: checkpoints differ in their questions") from None
    for row, losses in enumerate(nll, start=1):
        _require_losses(losses, f"{path}: row {row}, column nll")
    return table.select(["model", "step"]).to_pandas(), nll


def _nll_of_json_files(task: str) -> tuple[pd.DataFrame, npt.NDArray[np.float32]]:
    """Read upstream's layout, MODEL/STEP/losses_TASK.json, one file after the other."""
    import pandas as pd

    key = "zeroshot" if task == "hellaswag_zeroshot" else "main"
    files = fetch_all(f"gemstones_json_{task}")
    rows = [(path.parts[-3], _gemstones_step(path.parts[-2])) for path in files.values()]
    nll = np.stack([read_nll_json(path, key) for path in files.values()])
    return pd.DataFrame(rows, columns=["model", "step"]), nll


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
    _require_losses(losses, f"{path}: column {key}")
    return losses


def _require_losses(losses: npt.NDArray[np.float32], where: str) -> None:
    wrong = np.flatnonzero(~(np.isfinite(losses) & (losses >= 0)))
    if wrong.size:
        value = losses[wrong[0]]
        raise DataError(
            f"{where}: question {wrong[0]}: {value} is not a finite number of 0 or more"
        )


# --- Pythia ---------------------------------------------------------------------------------------


def _pythia_questions(task: str) -> tuple[pd.DataFrame, npt.NDArray[np.int64]]:
    """Read the question table and the grid of k of the released file.

    The file repeats each question's n and c once for every k, also for k > n, where its pass@k is
    no estimate; only n and c are used.
    """
    import pandas as pd

    path = fetch(f"pythia_{task}")
    names = {
        "Model Nickname": "nickname",
        "prompt_idx": "question",
        "Num. Samples": "n_samples",
        "Num. Samples Correct": "n_correct",
        "k": "k",
    }
    rows = _pick(pd.read_parquet(path), names, path)
    grid = np.sort(rows["k"].unique())
    table = rows.drop(columns="k").drop_duplicates(ignore_index=True)
    parts = table["nickname"].str.split("_", expand=True)
    table["suite"] = "pythia"
    table["model"] = "Pythia-" + parts[1]
    table["task"] = task
    table["n_params"] = parts[1].map(PYTHIA_PARAMS)
    table["n_tokens"] = parts[2].map(PYTHIA_STEPS) * PYTHIA_TOKENS_PER_STEP
    order = [*"suite model task n_params n_tokens question n_samples n_correct".split()]
    table = table[order].sort_values(order[3:6], ignore_index=True)
    return validate(table, "questions_counts", str(path)), grid


# --- the other suites -----------------------------------------------------------------------------


def _chinchilla_points() -> pd.DataFrame:
    import pandas as pd

    path = fetch("chinchilla_points")
    names = {"Model Size": "n_params", "Training FLOP": "train_flops", "loss": "loss"}
    table = _pick(pd.read_csv(path), names, path)
    return table.assign(model=None, n_tokens=table["train_flops"] / (6 * table["n_params"]))


def _porian_points() -> pd.DataFrame:
    import pandas as pd

    path = fetch("porian_isoflop")
    names = {n: n for n in ("train_flops", "n_params", "n_tokens")} | {"val_loss": "loss"}
    return _pick(pd.read_csv(path), names, path).assign(model=None)


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


def _gadre_accuracies() -> pd.DataFrame:
    import pandas as pd

    runs = _gadre_runs()
    rows = []
    for name, path in fetch_all("gadre_evals").items():
        model = name.split("/")[1]
        content = read_json(path)
        with _layout(path):
            size = runs[model][1]["hyperparameters"]
            for task, accuracy in content["eval_metrics"]["icl"].items():
                rows.append((model, task, size["params"], size["tokens"], accuracy))
    return pd.DataFrame(rows, columns=["model", "task", "n_params", "n_tokens", "accuracy"])


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


# --- building data/curves -------------------------------------------------------------------------


def build(folder: Path | None = None, *, jobs: int = -1) -> list[Path]:
    """Compute the embedded curves and histograms from the released files.

    Parameters
    ----------
    folder : Path, optional
        Where to put them; ``data/curves`` if not given. It is replaced whole, or not at all.
    jobs : int
        Processes; -1 for one a core. The result does not depend on it.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    FetchError, DataError
        As :func:`load_questions`; the folder then stays as it was.
    """
    import pandas as pd
    from joblib import Parallel, delayed
    from tqdm import tqdm

    target = folder or data_folder() / "curves"
    work = [(suite, task) for suite, tasks in TASKS.items() for task in tasks]
    done = Parallel(n_jobs=jobs, return_as="generator")(
        delayed(_build_task)(suite, task) for suite, task in work
    )
    results = list(tqdm(done, total=len(work), desc="curves", unit="task"))
    with _replacing(target) as draft:
        for suite in TASKS:
            mine = [made for (of, _), made in zip(work, results, strict=True) if of == suite]
            curves = pd.concat([curve for curve, _ in mine], ignore_index=True)
            histograms = pd.concat([histogram for _, histogram in mine], ignore_index=True)
            _write(validate(curves, "curves", suite), draft / f"{suite}.parquet")
            _write(validate(histograms, "histograms", suite), draft / f"{suite}_histograms.parquet")
    return sorted(target.glob("*.parquet"))


def _build_task(suite: str, task: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    if suite == "pythia":
        table, grid = _pythia_questions(task)
        return pythia_curves(table, grid), pythia_histograms(table)
    checkpoints, nll = _gemstones_nll(task)
    return gemstones_curves(checkpoints, nll), gemstones_histograms(checkpoints, nll)


def gemstones_curves(checkpoints: pd.DataFrame, nll: npt.NDArray[np.floating[Any]]) -> pd.DataFrame:
    """Compute a task's curves from every question's likelihood, at k = 1, 2, 4, ..., 65536.

    Parameters
    ----------
    checkpoints : DataFrame, one row a checkpoint
        ``suite, model, task, n_params, n_tokens``.
    nll : ndarray, shape (checkpoints, questions)
        Nats.

    Returns
    -------
    DataFrame
        The curve table.
    """
    n_k = len(GEMSTONES_K)
    table = checkpoints.loc[checkpoints.index.repeat(n_k)].reset_index(drop=True)
    return table.assign(
        k=np.tile(GEMSTONES_K, len(checkpoints)),
        n_questions=nll.shape[1],
        pass_at_k=pass_at_k_from_nll(nll, GEMSTONES_K).ravel(),
        neg_log_pass=neg_log_pass_from_nll(nll, GEMSTONES_K).ravel(),
        mean_nll=np.repeat(nll.mean(axis=1, dtype=float), n_k),
    )


def pythia_curves(table: pd.DataFrame, grid: npt.NDArray[np.int64]) -> pd.DataFrame:
    """Compute a task's curves from samples, with the unbiased estimator.

    A curve averages over the same questions at every k, so k stops at the smallest number of
    samples that any of its questions has: beyond it the estimate of that question is undefined,
    and leaving the question out would make the curve jump for a reason that is not k. The
    questions are those of :func:`common_questions`. So a checkpoint supports every k of ``grid``
    and every power of two up to its ``min n_samples``.

    Parameters
    ----------
    table : DataFrame
        The question table of one task, with n_samples and n_correct.
    grid : ndarray of int
        Values of k wanted besides the powers of two.

    Returns
    -------
    DataFrame
        The curve table; neg_log_pass and mean_nll are null.
    """
    import pandas as pd

    curves = []
    keys = ["suite", "model", "task", "n_params", "n_tokens"]
    for key, group in common_questions(table).groupby(keys, sort=False):
        n = group["n_samples"].to_numpy()
        k = np.union1d(grid, 2 ** np.arange(40))
        k = k[k <= n.min()]
        c = group["n_correct"].to_numpy()
        curve = pd.DataFrame(dict(zip(keys, key, strict=True)), index=range(len(k)))
        curves.append(
            curve.assign(
                k=k,
                n_questions=len(group),
                pass_at_k=pass_at_k(n[:, None], c[:, None], k).mean(axis=0),
                neg_log_pass=np.nan,
                mean_nll=np.nan,
            )
        )
    return pd.concat(curves, ignore_index=True)


def common_questions(table: pd.DataFrame) -> pd.DataFrame:
    """Keep the questions that more than half of a task's checkpoints were asked.

    All checkpoints of a task were asked the same 128 questions, but for one stray question in
    ``Pythia-2.8B`` and two in ``Pythia-410M`` (GSM8K), which this leaves out, and
    ``Pythia-12B`` after one step, which was asked only some (30 of GSM8K, 9 of MATH).
    """
    checkpoints = table[["model", "n_tokens"]].drop_duplicates()
    asked = table["question"].value_counts()
    common = asked.index[asked > len(checkpoints) / 2]
    return table[table["question"].isin(common)]


def gemstones_histograms(
    checkpoints: pd.DataFrame, nll: npt.NDArray[np.floating[Any]]
) -> pd.DataFrame:
    """Count a task's questions in bins of log p, for every checkpoint."""
    import pandas as pd

    parts = [_histogram(-losses.astype(float)) for losses in nll]
    rows = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    repeated = checkpoints.iloc[rows].reset_index(drop=True)
    return repeated.join(pd.concat(parts, ignore_index=True))


def pythia_histograms(table: pd.DataFrame) -> pd.DataFrame:
    """Count a task's questions in bins of log (c / n), for every checkpoint; c = 0 apart."""
    import pandas as pd

    keys = ["suite", "model", "task", "n_params", "n_tokens"]
    parts = []
    for key, group in common_questions(table).groupby(keys, sort=False):
        with np.errstate(divide="ignore"):
            log_p = np.log(group["n_correct"].to_numpy() / group["n_samples"].to_numpy())
        part = _histogram(log_p)
        parts.append(pd.DataFrame(dict(zip(keys, key, strict=True)), index=part.index).join(part))
    return pd.concat(parts, ignore_index=True)


def _histogram(log_p: npt.NDArray[np.float64]) -> pd.DataFrame:
    """Count values in bins of BIN_WIDTH below 0; -inf has a bin of its own."""
    import pandas as pd

    places = np.minimum(np.floor(log_p / BIN_WIDTH), -1.0)  # log p = 0 goes to the last bin
    low, counts = np.unique(places * BIN_WIDTH, return_counts=True)
    return pd.DataFrame({"log_p_low": low, "log_p_high": low + BIN_WIDTH, "n_questions": counts})


def _write(table: pd.DataFrame, path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    words = [name for name in table.columns if table[name].dtype == object]
    small = {name: "int32" for name in ("k", "n_questions") if name in table.columns}
    repeated = [*words, "n_params", "n_tokens", "k", "n_questions", "log_p_low", "log_p_high"]
    noisy = [name for name in ("pass_at_k", "neg_log_pass") if name in table.columns]
    pyarrow.parquet.write_table(
        pyarrow.Table.from_pandas(table.astype(small), preserve_index=False),
        path,
        compression="zstd",
        compression_level=19,
        use_dictionary=[*[n for n in repeated if n in table.columns], "mean_nll"],
        column_encoding=dict.fromkeys(noisy, "BYTE_STREAM_SPLIT"),
    )


@contextlib.contextmanager
def _replacing(target: Path) -> Iterator[Path]:
    """Give a folder to write into, and put it in the target's place if all went well."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    old = draft.with_name(draft.name + "-old")
    try:
        yield draft
        draft.chmod(0o755)
        if target.exists():
            target.replace(old)
        try:
            draft.replace(target)
        except OSError:
            if old.exists():
                old.replace(target)
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
