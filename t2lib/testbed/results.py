"""The results as a suite: tables of questions and of losses, made from a results folder."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from t2lib._checks import DataError
from t2lib.data.layouts import SAMPLED
from t2lib.data.registry import data_folder
from t2lib.passk import pass_at_k, pass_at_k_from_nll
from t2lib.testbed import files
from t2lib.testbed.corpus import FAMILIES, QUESTIONS, corpus_hash, guess_level
from t2lib.testbed.presets import PRESETS, Run, budget, checkpoint_grid, n_params
from t2lib.testbed.variants import target as variants_of

if TYPE_CHECKING:
    import pandas as pd

DATA = data_folder() / "experiment"
KS = 2.0 ** np.arange(21)  # at which the variants' pass@k is kept
_FOLDERS = {"likelihoods": "testbed", "samples": "testbed"}  # the suite; t2 fit reads the folder
_RUN = ("width", "seed", "unique", "rate")


def checkpoints(folder: Path) -> Iterator[tuple[Path, files.Arrays, dict[str, Any]]]:
    """Yield path, arrays and facts of every checkpoint, by model and tokens.

    Raises
    ------
    DataError
        Where there is none, one is damaged, or one is of another language.
    """
    paths = sorted(folder.glob("w*-s*/d*.safetensors"))
    if not paths:
        raise DataError(f"{folder}: no checkpoints: t2 testbed train makes them")
    for path in paths:
        arrays, facts = files.load(path)
        if facts.get("corpus") != corpus_hash():
            raise DataError(f"{path}: of another language, {str(facts.get('corpus'))[:12]}")
        yield path, arrays, facts


def collect(folder: Path, target: Path) -> list[Path]:
    """Write the tables of a results folder.

    Parameters
    ----------
    folder : Path
        As :func:`t2lib.testbed.grid.train_all` leaves it, done or not.
    target : Path
        Gets the suite, ``testbed/likelihoods.parquet`` and ``testbed/samples.parquet`` (one row a
        checkpoint and question), and beside it ``experiment/losses.parquet`` (one row a
        checkpoint, with the hash of the code), ``experiment/variants.parquet`` (pass@k of what was
        trained on repeated tokens, fine-tuned or sampled at another temperature) and
        ``experiment/language.json`` (its hash and guess levels).

    Returns
    -------
    list of Path
    """
    import pandas as pd

    rows, nll, correct, losses, variants = [], [], [], [], []
    for path, arrays, facts in checkpoints(folder):
        run, tokens = Run(**{name: facts[name] for name in _RUN}, tokens=0), facts["tokens"]
        if tokens not in checkpoint_grid(run.width, tokens):
            continue
        about = _about(run, tokens)
        losses.append(_losses(run, facts))
        if run.unique:
            variants.append(_curves(about, f"unique={run.unique}", arrays["nll"]))
        elif run.rate == 1:
            size = {name: about[name] for name in ("model", "n_params", "n_tokens")}
            rows.append(size | {"n_samples": facts["n_samples"]})
            nll.append(arrays["nll"])
            correct.append(arrays["correct"])
            beside = variants_of(path)
            varied = files.load(beside)[0] if beside.exists() else {}
            variants += [_curves(about, *variant) for variant in varied.items()]
    table = pd.DataFrame(rows)
    n_samples = table.pop("n_samples").to_numpy(np.int32).repeat(QUESTIONS)
    tables = {"likelihoods": [], "samples": [], "variants": variants}
    tables["losses"] = [pd.DataFrame(losses)]
    for i, family in enumerate(FAMILIES):
        kept = _rounded(np.array(nll)[:, i].ravel())
        tables["likelihoods"].append(_long(table, family, nll=kept))
        counts = {"n_samples": n_samples, "n_correct": np.array(correct)[:, i].ravel()}
        tables["samples"].append(_long(table, family + SAMPLED, **counts))
    texts = {
        target / _FOLDERS.get(name, "experiment") / f"{name}.parquet": _packed(pd.concat(parts))
        for name, parts in tables.items()
        if parts
    }
    facts = {"corpus": corpus_hash(), "guess_levels": {f: guess_level(f) for f in FAMILIES}}
    texts[target / "experiment" / "language.json"] = (json.dumps(facts, indent=1) + "\n").encode()
    for path, content in texts.items():
        files.write_whole(path, content)
    return list(texts)


def collect_named(folder: Path, target: Path, name: str) -> list[Path]:
    """Write what the models of a preset score at its two largest budgets.

    Parameters
    ----------
    folder : Path
        With the runs of the preset, done or not.
    target : Path
        Gets ``experiment/NAME.parquet``: as the variants, with ``sampled``, pass@k from the counts
        of right samples (missing where k is more than were drawn); and
        ``experiment/NAME_losses.parquet``, as the losses. Some of these runs are also in the preset
        ``laptop``: trained twice, they tell what another machine changes.
    name : str
        Of the preset: ``chosen``, the sizes that the forecast named, or ``further``.

    Returns
    -------
    list of Path

    Raises
    ------
    DataError
        As :func:`checkpoints`, and where no checkpoint has one of the two budgets.
    """
    import pandas as pd

    largest, parts, losses = PRESETS[name].flops, [], []
    for _, arrays, facts in checkpoints(folder):
        run, tokens = Run(**{name: facts[name] for name in _RUN}, tokens=0), facts["tokens"]
        losses.append(_losses(run, facts))
        about = _about(run, tokens)
        if not np.isclose(about["budget"], (largest / 2, largest)).any():
            continue
        drawn, right = facts["n_samples"], arrays["correct"]
        counted = [
            pass_at_k(drawn, right, int(k)).mean(axis=1)
            if k <= drawn
            else np.full(len(right), np.nan)
            for k in KS
        ]
        curves = _curves(about, name, arrays["nll"])
        parts.append(curves.assign(sampled=np.array(counted, dtype=np.float32).T.ravel()))
    if not parts:
        raise DataError(f"{folder}: no checkpoints at {largest / 2:g} or {largest:g} FLOPs")
    tables = {name: pd.concat(parts), f"{name}_losses": pd.DataFrame(losses)}
    paths = [target / "experiment" / f"{table}.parquet" for table in tables]
    for path, content in zip(paths, [_packed(table) for table in tables.values()], strict=True):
        files.write_whole(path, content)
    return paths


def _about(run: Run, tokens: int) -> dict[str, Any]:
    size = {"model": run.name, "n_params": n_params(run.width), "n_tokens": tokens}
    return size | {
        "width": run.width,
        "seed": run.seed,
        "budget": budget(run.width, tokens),
    }


def _losses(run: Run, facts: dict[str, Any]) -> dict[str, Any]:
    made = {"unique": run.unique, "rate": run.rate, "code": facts["code"]}
    scored = {name: facts[name] for name in ("loss", *(f"loss_{f}" for f in FAMILIES))}
    return {**_about(run, facts["tokens"]), **made, "n_samples": facts["n_samples"], **scored}


def _rounded(nll: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Round to 11 bits, one in 4,000, which is far below the seeds' noise and halves the file."""
    return nll.astype(np.float16).astype(np.float32)


def _curves(about: dict[str, Any], variant: str, nll: npt.NDArray[np.float32]) -> pd.DataFrame:
    """Return pass@k of every family at :data:`KS`; nll has shape (families, questions)."""
    import pandas as pd

    passed = pass_at_k_from_nll(nll.astype(np.float64), KS).astype(np.float32)
    return pd.DataFrame(
        {
            **about,
            "variant": variant,
            "family": np.repeat(FAMILIES, len(KS)),
            "mean_nll": nll.mean(axis=1).repeat(len(KS)),
            "k": np.tile(KS, len(FAMILIES)),
            "pass_at_k": passed.ravel(),
        }
    )


def _long(table: pd.DataFrame, task: str, **columns: Any) -> pd.DataFrame:
    """Repeat the checkpoints' rows for every question of a task."""
    long = table.loc[table.index.repeat(QUESTIONS)].reset_index(drop=True)
    long.insert(0, "suite", "testbed")
    long.insert(2, "task", task)
    question = np.tile(np.arange(QUESTIONS, dtype=np.int16), len(table))
    return long.assign(question=question, **columns)


def _packed(table: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    noisy = [name for name in ("nll", "pass_at_k", "sampled", "loss") if name in table]
    table.to_parquet(
        buffer,
        index=False,
        compression="zstd",
        compression_level=19,
        use_dictionary=[name for name in table.columns if name not in noisy],
        column_encoding=dict.fromkeys(noisy, "BYTE_STREAM_SPLIT"),
    )
    return buffer.getvalue()
