"""The embedded tables of checkpoints, and how they are computed from the released files.

:func:`load_curves`, :func:`load_histograms` and :func:`load_published` read ``data/`` and need no
network; :func:`build` computes ``data/curves`` anew.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from t2lib import _parallel as parallel
from t2lib._checks import require_one_of
from t2lib.data.layouts import Likelihoods, Part
from t2lib.data.layouts import common_questions as common_questions
from t2lib.data.registry import data_folder
from t2lib.data.schemas import CHECKPOINT, read_table, validate
from t2lib.data.suites import SUITES
from t2lib.passk import neg_log_pass_from_nll, pass_at_k, pass_at_k_from_nll

if TYPE_CHECKING:
    import pandas as pd

BIN_WIDTH = 0.125  # of log p in the histograms, nats
# Rows that wait in memory until they are written.
ROW_GROUP = 2**17
LIKELIHOOD_K = 2 ** np.arange(17)


def load_curves(suite: str) -> pd.DataFrame:
    """Load the embedded pass@k curves of a suite.

    Parameters
    ----------
    suite : str
        "gemstones", "pythia" or "testbed".

    Returns
    -------
    DataFrame
        One row a checkpoint, task and k: ``suite, model, task, n_params, n_tokens, k,
        n_questions, pass_at_k, neg_log_pass, mean_nll``. The last two are means over questions of
        -log pass@k and of the NLL, in nats, and null where a task has samples only.
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
        "gemstones" or "testbed" (p = exp(-NLL), of samples c / n), or "pythia" (p = c / n).

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
    require_one_of(suite, SUITES, "suite")
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
        for suite, row in SUITES.items():
            curves = open_files.enter_context(_Writer(draft / f"{suite}.parquet"))
            histograms = open_files.enter_context(_Writer(draft / f"{suite}_histograms.parquet"))
            parts = (part for task in row.tasks for part in row.parts(task))
            calls = (partial(_computed, suite, part) for part in parts)
            for curve, histogram in parallel.run(calls, n_jobs=jobs):
                curves.add(curve)
                histograms.add(histogram)
                bar.update(len(curve[["model", "n_tokens"]].drop_duplicates()))
    return sorted(target.glob("*.parquet"))


def _computed(suite: str, part: Part) -> tuple[pd.DataFrame, pd.DataFrame]:
    return (
        validate(curves_of(part), "curves", suite),
        validate(histograms_of(part), "histograms", suite),
    )


def curves_of(part: Part) -> pd.DataFrame:
    """Compute the curve table of some checkpoints.

    Likelihoods are taken to k = 1, 2, 4, ..., 65536. Samples give the powers of two and the
    values that the part wants, up to the smallest number of samples that any question of the
    checkpoint has: beyond it that question's estimate is undefined, and leaving the question out
    would make the curve jump for a reason that is not k.
    """
    if isinstance(part, Likelihoods):
        table = part.checkpoints.loc[part.checkpoints.index.repeat(len(LIKELIHOOD_K))]
        return table.reset_index(drop=True).assign(**likelihood_columns(part.nll, LIKELIHOOD_K))
    keys, curves = [], []
    for key, group in part.questions.groupby(CHECKPOINT, sort=False):
        n, c = (group[name].to_numpy() for name in ("n_samples", "n_correct"))
        keys.append(key)
        curves.append(sample_columns(n, c, np.union1d(part.k, 2 ** np.arange(40))))
    return _labelled(keys, curves)


def likelihood_columns(
    nll: npt.NDArray[np.floating[Any]], k: npt.NDArray[np.int64]
) -> dict[str, Any]:
    """Compute the curves of checkpoints from every question's likelihood.

    Parameters
    ----------
    nll : ndarray, shape (checkpoints, questions)
        Nats.
    k : ndarray of int

    Returns
    -------
    dict
        The curve table's columns after the checkpoint's; each checkpoint's rows follow each other.
    """
    return {
        "k": np.tile(k, len(nll)),
        "n_questions": nll.shape[1],
        "pass_at_k": pass_at_k_from_nll(nll, k).ravel(),
        "neg_log_pass": neg_log_pass_from_nll(nll, k).ravel(),
        "mean_nll": np.repeat(nll.mean(axis=1, dtype=float), len(k)),
    }


def sample_columns(
    n: npt.NDArray[np.int64], c: npt.NDArray[np.int64], k: npt.NDArray[np.int64]
) -> dict[str, Any]:
    """Compute one checkpoint's curve from samples, with the unbiased estimator.

    Parameters
    ----------
    n, c : ndarray of int, shape (questions,)
        Samples and right samples.
    k : ndarray of int
        Values wanted; those above the smallest n are left out.

    Returns
    -------
    dict
        The curve table's columns after the checkpoint's; neg_log_pass and mean_nll are null.
    """
    k = k[k <= n.min()]
    return {
        "k": k,
        "n_questions": len(n),
        "pass_at_k": pass_at_k(n[:, None], c[:, None], k).mean(axis=0),
        "neg_log_pass": np.nan,
        "mean_nll": np.nan,
    }


def histograms_of(part: Part) -> pd.DataFrame:
    """Count the questions in bins of log p, p = exp(-NLL) or c / n, for every checkpoint."""
    if isinstance(part, Likelihoods):
        keys = list(part.checkpoints[CHECKPOINT].itertuples(index=False, name=None))
        return _labelled(keys, [_histogram(row) for row in -part.nll.astype(float)])
    keys, histograms = [], []
    for key, group in part.questions.groupby(CHECKPOINT, sort=False):
        with np.errstate(divide="ignore"):  # c = 0: never answered
            log_p = np.log(group["n_correct"].to_numpy() / group["n_samples"].to_numpy())
        keys.append(key)
        histograms.append(_histogram(log_p))
    return _labelled(keys, histograms)


def _labelled(checkpoints: list[tuple[Any, ...]], columns: list[dict[str, Any]]) -> pd.DataFrame:
    """Put each checkpoint's columns before those of its rows."""
    import pandas as pd

    tables = [pd.DataFrame(each) for each in columns]
    labels = pd.DataFrame(checkpoints, columns=CHECKPOINT)
    labels = labels.loc[labels.index.repeat([len(table) for table in tables])]
    return labels.reset_index(drop=True).join(pd.concat(tables, ignore_index=True))


def _histogram(log_p: npt.NDArray[np.float64]) -> dict[str, Any]:
    """Count values in bins of BIN_WIDTH below 0; -inf has a bin of its own."""
    places = np.minimum(np.floor(log_p / BIN_WIDTH), -1.0)  # log p = 0 goes to the last bin
    low, counts = np.unique(places * BIN_WIDTH, return_counts=True)
    return {"log_p_low": low, "log_p_high": low + BIN_WIDTH, "n_questions": counts}


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
