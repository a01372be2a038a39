"""``t2 testbed``: the language shown, models trained on it, their results collected."""

from __future__ import annotations

import math
import sys
import time
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from t2lib.command.shared import examples, progress, say, show

app = typer.Typer(
    help="Our own experiment: train small models on a synthetic language, score and sample them.",
    rich_markup_mode=None,
    add_completion=False,
)
_FOLDER = Path("testbed-results")
_REMARK_SECONDS = 60.0  # between two remarks on the progress, where there is no terminal
_Preset = Annotated[str, typer.Option("--preset", help="tiny, laptop, chosen or further.")]
_Folder = Annotated[Path, typer.Option(help="The results folder.", show_default=True)]


@app.command("train", epilog=examples("t2 testbed train", "t2 testbed train --preset tiny"))
def train(
    name: _Preset = "laptop",
    folder: _Folder = _FOLDER,
    width: Annotated[list[int] | None, typer.Option(help="These widths only.")] = None,
    seed: Annotated[list[int] | None, typer.Option(help="These seeds only.")] = None,
    flops: Annotated[float, typer.Option(help="To this training budget only.")] = math.inf,
    jobs: Annotated[int, typer.Option(help="Processes; -1 for one a core.")] = -1,
) -> None:
    """Train a preset's models, score and sample every checkpoint.

    It may be ended at any time: the same command goes on where it stopped. T2LIB_SCHEDULER names a
    Dask scheduler whose workers, which must see the folder, shall do it.
    """
    from t2lib._checks import DataError
    from t2lib._parallel import scheduler
    from t2lib.testbed.grid import train_all
    from t2lib.testbed.presets import preset

    chosen = preset(name, flops)
    runs = chosen.runs()
    for what, wanted in (("width", width), ("seed", seed)):
        there = sorted({getattr(run, what) for run in runs})
        for one in wanted or ():
            if one not in there:
                raise DataError(f"{what} {one}: not in preset {name}, which has {there}")
        runs = [run for run in runs if not wanted or getattr(run, what) in wanted]
    with scheduler(), progress() as step:
        said = [0.0]

        def on_step(text: str, done: float, total: float) -> None:
            step(text, int(done / 1e6), int(total / 1e6))
            if not sys.stderr.isatty() and time.monotonic() - said[0] > _REMARK_SECONDS:
                said[0] = time.monotonic()
                say(f"{text} ({done / total:.0%} done)")

        train_all(folder, runs, n_samples=chosen.n_samples, n_jobs=jobs, on_step=on_step)
    show(str(folder))


@app.command("vary", epilog=examples("t2 testbed vary", "t2 testbed vary --preset tiny"))
def vary(
    name: _Preset = "laptop",
    folder: _Folder = _FOLDER,
    jobs: Annotated[int, typer.Option(help="Processes; -1 for one a core.")] = -1,
) -> None:
    """Fine-tune trained checkpoints in two ways, and score them at other temperatures."""
    from t2lib._parallel import scheduler
    from t2lib.testbed.presets import preset
    from t2lib.testbed.variants import vary_all

    with scheduler():
        show(f"{vary_all(folder, preset(name), n_jobs=jobs)} checkpoints varied")


@app.command("collect", epilog=examples("t2 testbed collect --target data"))
def collect(
    name: _Preset = "laptop",
    folder: _Folder = _FOLDER,
    target: Path = Path("data"),
) -> None:
    """Write the tables of a results folder: likelihoods, samples, losses.

    Of chosen, which holds the sizes that the forecast named, and of further, only what they score.
    """
    from t2lib.testbed import results
    from t2lib.testbed.presets import preset

    preset(name)  # is there one?
    judged = partial(results.collect_named, name=name)
    for path in (judged if name in ("chosen", "further") else results.collect)(folder, target):
        show(str(path))


@app.command("forecast", epilog=examples("t2 testbed forecast"))
def forecast(target: Path = Path("data")) -> None:
    """Write what the laws would train at the two largest budgets, from the smaller ones.

    The tables of the data folder must be there (t2 testbed collect, t2 data build).
    """
    from t2lib.studies.forecast import write

    write(target)
    show(str(target / "experiment" / "forecast.json"))


@app.command("clock", epilog=examples("t2 testbed clock"))
def clock(target: Path = Path("data")) -> None:
    """Time training and sampling on this machine, beside the FLOPs counted (leave a core free)."""
    import json

    from t2lib.testbed.clock import speeds, timed
    from t2lib.testbed.files import write_whole

    path = target / "experiment" / "clock.json"
    write_whole(path, (json.dumps(timed() | {"speeds": speeds()}, indent=0) + "\n").encode())
    show(str(path))


@app.command("show", epilog=examples("t2 testbed show"))
def show_language() -> None:
    """Show a question of each family, the guess levels, and the language's hash."""
    from t2lib.testbed.corpus import corpus_hash, describe

    for row in describe():
        show(f"{row['family']:<12}{row['example']:<22}{row['asked']:<22}{row['guess_level']:.1e}")
    show(corpus_hash())
