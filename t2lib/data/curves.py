"""The embedded tables of checkpoints, and how they are computed from the released files.

:func:`load_curves`, :func:`load_histograms` and :func:`load_published` read ``data/`` and need no
network; :func:`build` computes ``data/curves`` anew.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from t2lib import _parallel as parallel
from t2lib._checks import require_one_of
from t2lib.data.layouts import (
    CHECKPOINTS_AT_ONCE,
    TASKS,
    batched,
    gemstones_nll_parts,
    pythia_questions,
)
from t2lib.data.registry import data_folder
from t2lib.data.schemas import read_table, validate
from t2lib.passk import neg_log_pass_from_nll, pass_at_k, pass_at_k_from_nll

if TYPE_CHECKING:
    import pandas as pd

BIN_WIDTH = 0.125  # of log p in the histograms, nats
# Rows that wait in memory until they are written.
ROW_GROUP = 2**17
GEMSTONES_K = 2 ** np.arange(17)
_CHECKPOINT = ["suite", "model", "task", "n_params", "n_tokens"]


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
    require_one_of(name, names, "published table")
    return read_table(folder / f"{name}.csv", "published")


def _read_embedded(suite: str, ending: str, schema: str) -> pd.DataFrame:
    require_one_of(suite, TASKS, "suite")
    return read_table(data_folder() / "curves" / f"{suite}{ending}.parquet", schema)


# --- building data/curves -------------------------------------------------------------------------


def build(folder: Path | None = None, *, jobs: int = -1) -> list[Path]:
    """Compute the embedded curves and histograms from the released files.

    A few checkpoints are read, computed and written at a time, so memory does not grow with their
    number. Only this process reads the released files: the workers, on this machine or on a Dask
    cluster, get what they compute on.

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
    ClusterError
        Where workers die again and again, or none is left.
    """
    from tqdm import tqdm

    target = folder or data_folder() / "curves"
    with (
        _replacing(target) as draft,
        contextlib.ExitStack() as open_files,
        tqdm(desc="curves", unit=" checkpoints", disable=None) as bar,
    ):
        for suite, tasks in TASKS.items():
            curves = open_files.enter_context(_Writer(draft / f"{suite}.parquet"))
            histograms = open_files.enter_context(_Writer(draft / f"{suite}_histograms.parquet"))
            calls = (call for task in tasks for call in _parts(suite, task))
            for n_checkpoints, curve, histogram in parallel.run(calls, n_jobs=jobs):
                curves.add(curve)
                histograms.add(histogram)
                bar.update(n_checkpoints)
    return sorted(target.glob("*.parquet"))


# How many checkpoints were done, their curves and their histograms.
_Part = tuple[int, "pd.DataFrame", "pd.DataFrame"]


def _parts(suite: str, task: str) -> Iterator[Callable[[], _Part]]:
    """Give the computations that together make up a task, reading as they are taken."""
    if suite == "gemstones":
        for checkpoints, nll in gemstones_nll_parts(task):
            yield partial(_gemstones_part, checkpoints, nll)
        return
    table, grid = pythia_questions(task)
    table = common_questions(table)
    models = [group for _, group in table.groupby(_CHECKPOINT, sort=False)]
    for some in batched(models, CHECKPOINTS_AT_ONCE):
        yield partial(_pythia_part, some, grid)


def _gemstones_part(checkpoints: pd.DataFrame, nll: npt.NDArray[np.float32]) -> _Part:
    curves = gemstones_curves(checkpoints, nll)
    return _checked(curves, gemstones_histograms(checkpoints, nll), "gemstones")


def _pythia_part(groups: Sequence[pd.DataFrame], grid: npt.NDArray[np.int64]) -> _Part:
    import pandas as pd

    table = pd.concat(groups)
    return _checked(_pythia_curves(table, grid), _pythia_histograms(table), "pythia")


def _checked(curves: pd.DataFrame, histograms: pd.DataFrame, suite: str) -> _Part:
    n_checkpoints = len(curves[["model", "n_tokens"]].drop_duplicates())
    return (
        n_checkpoints,
        validate(curves, "curves", suite),
        validate(histograms, "histograms", suite),
    )


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
    return _pythia_curves(common_questions(table), grid)


def _pythia_curves(table: pd.DataFrame, grid: npt.NDArray[np.int64]) -> pd.DataFrame:
    import pandas as pd

    curves = []
    for key, group in table.groupby(_CHECKPOINT, sort=False):
        n = group["n_samples"].to_numpy()
        k = np.union1d(grid, 2 ** np.arange(40))
        k = k[k <= n.min()]
        c = group["n_correct"].to_numpy()
        curve = pd.DataFrame(dict(zip(_CHECKPOINT, key, strict=True)), index=range(len(k)))
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
    common = asked.index[asked.to_numpy() > len(checkpoints) / 2]
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
    return _pythia_histograms(common_questions(table))


def _pythia_histograms(table: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    parts = []
    for key, group in table.groupby(_CHECKPOINT, sort=False):
        with np.errstate(divide="ignore"):
            log_p = np.log(group["n_correct"].to_numpy() / group["n_samples"].to_numpy())
        part = _histogram(log_p)
        parts.append(
            pd.DataFrame(dict(zip(_CHECKPOINT, key, strict=True)), index=part.index).join(part)
        )
    return pd.concat(parts, ignore_index=True)


def _histogram(log_p: npt.NDArray[np.float64]) -> pd.DataFrame:
    """Count values in bins of BIN_WIDTH below 0; -inf has a bin of its own."""
    import pandas as pd

    places = np.minimum(np.floor(log_p / BIN_WIDTH), -1.0)  # log p = 0 goes to the last bin
    low, counts = np.unique(places * BIN_WIDTH, return_counts=True)
    return pd.DataFrame({"log_p_low": low, "log_p_high": low + BIN_WIDTH, "n_questions": counts})


class _Writer:
    """A Parquet file that is written a row group at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.waiting: list[pd.DataFrame] = []
        self.file: Any = None

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, failure: type[BaseException] | None, *_: object) -> None:
        if failure is None and self.waiting:
            self.write(ROW_GROUP)
        if self.file is not None:
            self.file.close()

    def add(self, table: pd.DataFrame) -> None:
        """Put rows at the end."""
        small = [name for name in ("k", "n_questions") if name in table.columns]
        self.waiting.append(table.astype(dict.fromkeys(small, "int32")))
        while sum(map(len, self.waiting)) > ROW_GROUP:
            self.write(ROW_GROUP)

    def write(self, n_rows: int) -> None:
        """Write the first of the waiting rows as one row group, the same whatever came together."""
        import pandas as pd
        import pyarrow
        import pyarrow.parquet

        table = pd.concat(self.waiting, ignore_index=True)
        self.waiting = [table.iloc[n_rows:]]
        rows = pyarrow.Table.from_pandas(table.iloc[:n_rows], preserve_index=False)
        self.file = self.file or pyarrow.parquet.ParquetWriter(
            self.path, rows.schema, **_encoding(table)
        )
        self.file.write_table(rows)


def _encoding(table: pd.DataFrame) -> dict[str, Any]:
    """Choose what makes a file of these columns small."""
    words = [name for name in table.columns if table[name].dtype == object]
    repeated = [*words, "n_params", "n_tokens", "k", "n_questions", "log_p_low", "log_p_high"]
    noisy = [name for name in ("pass_at_k", "neg_log_pass") if name in table.columns]
    return {
        "compression": "zstd",
        "compression_level": 19,
        "use_dictionary": [*[n for n in repeated if n in table.columns], "mean_nll"],
        "column_encoding": dict.fromkeys(noisy, "BYTE_STREAM_SPLIT"),
    }


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
