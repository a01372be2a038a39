"""``t2 runs``: the beginning of a runs file, from what logs say of their runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from t2lib._checks import DataError, counted
from t2lib.command.shared import examples, say, show

EXAMPLES = examples(
    "t2 runs logs/ > runs.yml",
    "t2 runs logs/ --tokens-per-step 2.1M > runs.yml",
)


def command(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH", help="Files, or folders to walk.")],
    tokens_per_step: Annotated[
        str | None, typer.Option(metavar="NUMBER", help="Tokens of a training step: 2097152, 2.1M.")
    ] = None,
) -> None:
    """Propose a runs file: the runs of these logs, with N and D where the logs say them.

    N is model_num_parameters of the harness's results_*.json. D is tokens in a name (300B-tokens),
    or a step (step1000) times --tokens-per-step. What is not known is left empty, to be filled in
    by you: t2 fit reads the file once nothing is.
    """
    from t2lib.evals.proposals import as_yaml, propose_runs
    from t2lib.evals.runs import number

    try:
        tokens = None if tokens_per_step is None else number(tokens_per_step)
    except ValueError as error:
        raise DataError(f"--tokens-per-step: {error}") from None
    runs = propose_runs(paths, tokens)
    show(as_yaml(runs))
    open_n, open_d = (
        sum(one is None for one in many)
        for many in ([run.n_params for run in runs], [run.n_tokens for run in runs])
    )
    say(f"{counted(len(runs), 'run')}; to complete: N of {open_n}, D of {open_d}")
