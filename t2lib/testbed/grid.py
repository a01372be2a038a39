"""Many models: one process a core, each resumed where it stopped, every checkpoint scored.

A results folder holds ``testbed.json`` (the language's hash) and a folder a run, with its last
state and a file a checkpoint: averaged weights, log p and right samples of every question. JAX is
imported by the workers only.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from t2lib import _parallel as parallel
from t2lib._checks import DataError
from t2lib.testbed import files
from t2lib.testbed.corpus import FAMILIES, corpus_hash
from t2lib.testbed.presets import CHUNK, Run, train_flops

if TYPE_CHECKING:
    from t2lib.testbed.train import State

SAVE_SECONDS = 60  # between two saved states: so much a kill can cost
_LOOK_SECONDS = 2.0  # between two looks at what is done
OnStep = Callable[[str, float, float], None]


def code_hash() -> str:
    """Return the sha256 of the code that a checkpoint depends on."""
    digest = hashlib.sha256()
    for name in ("corpus", "model", "presets", "sample", "score", "train"):
        digest.update(name.encode() + Path(__file__).with_name(f"{name}.py").read_bytes())
    return digest.hexdigest()


def train_all(
    folder: Path,
    runs: list[Run],
    *,
    n_samples: int,
    n_jobs: int | None = None,
    on_step: OnStep = lambda what, done, total: None,
) -> None:
    """Train every run that is not done yet, and score its checkpoints.

    Parameters
    ----------
    folder : Path
        Where the results are, or will be; on a Dask cluster one that every worker sees.
    runs : list of Run
        The longest first, so that the last ones end together.
    n_samples : int
        Samples of every question at every checkpoint.
    n_jobs : int, optional
        Processes, as :func:`t2lib._parallel.run` counts them.
    on_step : callable
        Told what is done: a text with the time left, and FLOPs done and to do.

    Raises
    ------
    DataError
        For results of another language, a damaged file or a full disk. What is done stays.
    ClusterError
        As :func:`t2lib._parallel.run`.
    """
    _require_folder(folder)
    code = code_hash()
    calls = [
        partial(train_one, folder, run, n_samples, code)
        for run in runs
        if not (_record(folder, run, run.tokens)).exists()
    ]
    with _told(folder, runs, on_step):
        for _ in parallel.run(calls, n_jobs=n_jobs, ordered=False):
            pass


def _require_folder(folder: Path) -> None:
    """Begin a results folder, or make sure that it holds results of this language."""
    path, facts = folder / "testbed.json", {"corpus": corpus_hash()}
    try:
        found = json.loads(path.read_text()).get("corpus")
    except FileNotFoundError:
        if folder.is_dir() and any(folder.iterdir()):
            raise DataError(f"{folder}: no results folder: it holds other files") from None
        files.write_whole(path, json.dumps(facts).encode())
        return
    except (OSError, ValueError, AttributeError):
        raise DataError(f"{path}: damaged: not the JSON that says which language it is") from None
    if found != facts["corpus"]:
        what = f"{str(found)[:12]}, this is {facts['corpus'][:12]}: name another folder"
        raise DataError(f"{folder}: results of another language, {what}")


def _record(folder: Path, run: Run, tokens: int) -> Path:
    return folder / run.name / f"d{tokens:010d}.safetensors"


def train_one(folder: Path, run: Run, n_samples: int, code: str) -> None:
    """Train one run from its last state to its end; a file a checkpoint, then the state."""
    configure_jax()
    from t2lib.testbed.train import State, trained

    state, path = State(run), folder / run.name / "state.safetensors"
    if path.exists():
        _restore(state, path)
    keep = run.checkpoints()
    saved = time.monotonic()
    for _ in trained(state):
        if state.tokens in keep:
            facts = {**run.facts(), "tokens": state.tokens, "corpus": corpus_hash(), "code": code}
            arrays, found = _scored(state, n_samples)
            files.save(_record(folder, run, state.tokens), arrays, facts | found)
        elif time.monotonic() - saved < SAVE_SECONDS:
            continue
        files.save(path, state.arrays(), {**run.facts(), "tokens": state.tokens})
        saved = time.monotonic()


def configure_jax() -> None:
    """Let JAX take one thread a process and single precision; of no use where it runs already.

    A graphics processor is shared by the processes, and left to itself it rounds what it multiplies
    to 10 bits.
    """
    flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    os.environ.setdefault("XLA_FLAGS", flags)
    os.environ.setdefault("NPROC", "1")
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    os.environ.setdefault("JAX_DEFAULT_MATMUL_PRECISION", "float32")


def _restore(state: State, path: Path) -> None:
    arrays, facts = files.load(path)
    tokens = facts.pop("tokens", -1)
    if {name: facts.get(name) for name in state.run.facts()} != state.run.facts():
        raise DataError(f"{path}: the state of another run: {facts}")
    if tokens < 0 or tokens % CHUNK or set(arrays) != set(state.arrays()):
        raise DataError(f"{path}: damaged (not the state of this model); remove it")
    state.restore(arrays, tokens)


def _scored(state: State, n_samples: int) -> tuple[files.Arrays, dict[str, Any]]:
    """Return a checkpoint's arrays, and its losses.

    Computed on the processor, also where a GPU trains: the dozen shapes that samples go through
    would each be compiled for it, a minute in all.
    """
    import jax
    import numpy as np

    from t2lib.testbed import corpus, sample, score

    weights = jax.device_put(state.tree["average"], jax.devices("cpu")[0])
    random = np.random.default_rng([state.run.seed, state.run.width, state.tokens])
    counts = [
        sample.right_counts(weights, corpus.questions(family), n_samples, random)
        for family in FAMILIES
    ]
    arrays = {f"weights.{name}": np.asarray(array) for name, array in weights.items()}
    arrays |= {"nll": score.answer_nll(weights), "asked": score.answer_nll(weights, asked=True)}
    arrays["correct"] = np.array(counts, dtype=np.int32)
    return arrays, {"n_samples": n_samples, **score.losses(weights)}


@contextlib.contextmanager
def _told(folder: Path, runs: list[Run], on_step: OnStep) -> Iterator[None]:
    """Tell, while the workers work, how many FLOPs are done and how long the rest will take."""
    total = sum(train_flops(run.width, run.tokens) for run in runs)
    begun, first, over = time.monotonic(), done_flops(folder, runs), threading.Event()

    def tell() -> None:
        done = done_flops(folder, runs)
        passed = time.monotonic() - begun
        left = (total - done) * passed / (done - first) if done > first else None
        text = "training" if left is None else f"training, {left / 60:.0f} min left"
        on_step(text, done, total)

    def watch() -> None:
        while not over.wait(_LOOK_SECONDS):
            tell()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
        tell()


def done_flops(folder: Path, runs: list[Run]) -> float:
    """Count the FLOPs of what is trained, to the last checkpoint of each run."""
    done = 0.0
    for run in runs:
        there = [tokens for tokens in run.checkpoints() if _record(folder, run, tokens).exists()]
        done += train_flops(run.width, max(there, default=0))
    return done
