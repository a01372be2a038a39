"""``t2 samples``: pass@k from few samples, and where to draw more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from t2lib._checks import DataError, counted
from t2lib.command.shared import examples, identities, refuse_overwriting, say, show, write_all

if TYPE_CHECKING:
    import pandas as pd

EXAMPLES = examples(
    "t2 samples counts.csv --k 1000 --k 10000",
    "t2 samples counts.csv --k 1000 --more 6400 -o plan.csv",
    "t2 samples counts.parquet --k 100 --json | jq '.[].forecast'",
)


def command(
    table: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="CSV, Parquet or JSON Lines: question, n_samples, n_correct."
        ),
    ],
    k: Annotated[
        list[int], typer.Option("--k", min=1, help="Samples a question; may be given again.")
    ],
    more: Annotated[
        int, typer.Option(min=0, help="Further samples to share out, for each checkpoint and task.")
    ] = 0,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="With --more: where the plan goes.", show_default=True),
    ] = Path("plan.csv"),
    level: Annotated[float, typer.Option(help="Coverage of the intervals.")] = 0.95,
    all_solvable: Annotated[
        bool, typer.Option("--all-solvable", help="No question is taken to be never solved.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draws.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Forecast pass@k beyond the samples drawn, and say which questions to sample more.

    The forecast is for the same questions, with an interval. Where FILE has suite, model, task,
    n_params or n_tokens, each checkpoint and task is a case of its own. With --more, the further
    samples are shared so that pass@k at the largest k gets known best; the plan is the table with
    a column more.
    """
    from t2lib.data.schemas import CHECKPOINT, read_table

    if more:
        refuse_overwriting(output, force)
    questions = read_table(table, "samples")
    keys = [name for name in CHECKPOINT if name in questions]
    groups = questions.groupby(keys, sort=False) if keys else [((), questions)]
    options = {"never": not all_solvable, "seed": seed}
    answers, plans = [], []
    for key, rows in groups:
        about = dict(zip(keys, key, strict=True))
        where = ", ".join(f"{name} {value}" for name, value in about.items())
        where = f"{table}: {where}: " if where else f"{table}: "
        for right, word in ((0, "0"), (rows["n_samples"], "n_samples")):
            if (rows["n_correct"] == right).all():
                what = f"column n_correct: {word} in every row: nothing can be forecast"
                raise DataError(where + what)
        try:
            answers.append(about | _answer(rows, sorted(set(k)), level=level, **options))
            plans.append(_plan(rows, more, max(k), **options))
        except ValueError as error:
            raise DataError(f"{where}{error}") from None
    if more:
        import pandas as pd

        plan = pd.concat(plans).sort_index()
        write_all({output: plan.to_csv(index=False)}, force, identities([table]))
    show(json.dumps(answers, indent=1) if as_json else "\n".join(map(_text, answers)))
    if more:
        say(f"{output}: {counted(int((plan['more'] > 0).sum()), 'question')} to sample more")


def _answer(rows: pd.DataFrame, k: list[int], **options: Any) -> dict[str, Any]:
    from t2lib.few_samples import predict_pass_at_k

    found = predict_pass_at_k(rows["n_samples"], rows["n_correct"], k, **options)
    return {
        "questions": len(rows),
        "answered": int((rows["n_correct"] > 0).sum()),
        "samples": [int(rows["n_samples"].min()), int(rows["n_samples"].max())],
        "level": options["level"],
        "forecast": found.reset_index().to_dict("records"),
    }


def _plan(rows: pd.DataFrame, more: int, k: int, **options: Any) -> pd.DataFrame:
    from t2lib.few_samples import sampling_plan

    if not more:
        return rows
    return rows.assign(
        more=sampling_plan(rows["n_samples"], rows["n_correct"], more, k=k, **options)
    )


def _text(answer: dict[str, Any]) -> str:
    own = ("questions", "answered", "samples", "level", "forecast")
    name = ", ".join(
        f"{value:.4g}" if isinstance(value, float) else str(value)
        for key, value in answer.items()
        if key not in own
    )
    low, high = answer["samples"]
    each = f"{low}" if low == high else f"{low} to {high}"
    lines = [
        (f"{name}: " if name else "")
        + f"{counted(answer['questions'], 'question')}, {each} samples each, "
        + f"{answer['answered']} answered"
    ]
    for one in answer["forecast"]:
        value, low, high = (f"{one[name]:.2f}" for name in ("value", "low", "high"))
        covers = f"{100 * answer['level']:g} % interval"
        lines.append(f"  pass@{one['k']:.0f} {value} ({low} to {high}), {covers}")
    return "\n".join(lines)
