"""What becomes of a checkpoint: fine-tuned both ways, or sampled at another temperature."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

from t2lib import _parallel as parallel
from t2lib._checks import DataError
from t2lib.testbed import corpus, files, grid
from t2lib.testbed.presets import Preset, Run, budget, checkpoint_grid, n_params

TEMPERATURES = (0.3, 0.5, 0.7, 0.85, 1.2, 1.5)
TUNED = {"tuned=everything": False, "tuned=answers": True}  # whether on the answers only

LEAST = 4  # tokens a parameter


def vary_all(folder: Path, preset: Preset, *, n_jobs: int | None = None) -> int:
    """Fine-tune and re-score the checkpoints of a preset's budgets, those that are not done yet.

    Each gets a file beside its own, ``v*.safetensors``: an array (families, questions) of the
    answers' NLL for every variant. Runs on repeated tokens or with another learning rate have none.

    Parameters
    ----------
    folder : Path
        As :func:`~t2lib.testbed.grid.train_all` leaves it, done or not.
    preset : Preset
    n_jobs : int, optional
        Processes.

    Returns
    -------
    int
        Checkpoints done by this call.

    Raises
    ------
    DataError
        Where there is no checkpoint to vary, or one is damaged.
    """
    places = [
        folder / run.name / f"d{tokens:010d}.safetensors"
        for run in preset.runs()
        if not run.unique and run.rate == 1
        for tokens in varied(run, preset.varied)
    ]
    there = [path for path in places if path.exists()]
    if not there:
        raise DataError(f"{folder}: no checkpoints to vary: t2 testbed train makes them")
    left = [path for path in there if not target(path).exists()]
    for _ in parallel.run([partial(vary, path) for path in left], n_jobs=n_jobs, ordered=False):
        pass
    return len(left)


def varied(run: Run, budgets: Sequence[float]) -> list[int]:
    """Return the tokens of a run's checkpoints at some budgets.

    Models that have seen fewer than :data:`LEAST` tokens a parameter are left out: too large for
    their budget, and dear to tune.
    """
    grid_ = checkpoint_grid(run.width, run.tokens)
    seen = [tokens for tokens in grid_ if tokens >= LEAST * n_params(run.width)]
    return [tokens for tokens in seen if np.isclose(budget(run.width, tokens), budgets).any()]


def target(checkpoint: Path) -> Path:
    """Return where a checkpoint's variants are."""
    return checkpoint.with_name("v" + checkpoint.name[1:])


def vary(path: Path) -> None:
    """Compute the variants of one checkpoint."""
    grid.configure_jax()
    from t2lib.testbed import finetune, score

    arrays, facts = files.load(path)
    weights: Any = {
        name.removeprefix("weights."): array
        for name, array in arrays.items()
        if name.startswith("weights.")
    }
    found: dict[str, npt.NDArray[np.float32]] = {"tuned=no": arrays["asked"]}
    for name, answers_only in TUNED.items():
        tuned = finetune.tuned(weights, answers_only=answers_only, seed=facts["seed"])
        found[name] = score.answer_nll(tuned, asked=True)
    for temperature, nll in zip(TEMPERATURES, nll_at(weights, TEMPERATURES), strict=True):
        found[f"temperature={temperature:g}"] = nll
    files.save(target(path), found, facts)


def nll_at(weights: Any, temperatures: Sequence[float]) -> npt.NDArray[np.float32]:
    """Return the NLL of every held-out question's whole answer where logits are divided first.

    Parameters
    ----------
    weights : dict of arrays
    temperatures : sequence of float
        Of sampling, symbol by symbol; 1 gives :func:`~t2lib.testbed.score.answer_nll`.

    Returns
    -------
    ndarray, shape (temperatures, 4 families, 512), nats
    """
    found = []
    for family in corpus.FAMILIES:
        text, start, length = corpus.questions(family)
        logits = np.asarray(_logits()(weights, text[:, :-1]), dtype=np.float64)
        logits = logits[:, start - 1 : start - 1 + length]
        answers = text[:, start : start + length, None].astype(int)
        found.append([_nll(logits / temperature, answers) for temperature in temperatures])
    return np.array(found, dtype=np.float32).swapaxes(0, 1)


def _nll(logits: npt.NDArray[np.float64], answers: npt.NDArray[np.int64]) -> Any:
    right = np.take_along_axis(logits, answers, axis=-1)[..., 0]
    return (special.logsumexp(logits, axis=-1) - right).sum(axis=1)


@cache
def _logits() -> Callable[..., Any]:
    import jax

    from t2lib.testbed.model import forward

    return jax.jit(lambda weights, text: forward(weights, text)[0])
