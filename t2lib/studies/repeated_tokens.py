"""The data wall on our own testbed: runs on repeated tokens beside runs on fresh ones."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy import optimize

from t2lib._checks import FloatArray
from t2lib.fitting.powers import fit_chinchilla
from t2lib.laws import Chinchilla
from t2lib.planning.data_wall import DataWall
from t2lib.studies.testbed import losses, variant_lines, variants

_SAME = ["width", "seed", "n_tokens"]


def pairs() -> pd.DataFrame:
    """Return every checkpoint on repeated tokens beside the one that saw as many fresh ones.

    Both runs begin with the same documents and the same weights.

    Returns
    -------
    DataFrame
        ``model, width, n_params, n_tokens, seed, budget, unique, epochs, loss, fresh`` and
        ``extra``, the loss that repetition costs (nats).
    """
    table = losses()
    table = table[table["rate"] == 1]
    fresh = table.loc[table["unique"] == 0, [*_SAME, "loss"]].rename(columns={"loss": "fresh"})
    found = table[table["unique"] > 0].merge(fresh, on=_SAME)
    return found.assign(
        epochs=found["n_tokens"] / found["unique"], extra=found["loss"] - found["fresh"]
    )


def fresh_law() -> Chinchilla:
    """Fit Chinchilla's law to the runs on fresh tokens."""
    table = losses()
    rows = table[(table["unique"] == 0) & (table["rate"] == 1)]
    law = fit_chinchilla(rows["n_params"], rows["n_tokens"], rows["loss"]).law
    assert isinstance(law, Chinchilla)
    return law


def predicted(
    rows: pd.DataFrame, law: Chinchilla, token_decay: float, params_decay: float = np.inf
) -> FloatArray:
    """Return the loss that repetition costs by Muennighoff et al.'s form, nats.

    Parameters
    ----------
    rows : DataFrame
        Of :func:`pairs`.
    law : Chinchilla
        Of fresh tokens.
    token_decay, params_decay : float
        R*_D and R*_N; where the latter is infinite, no parameter counts as excess.
    """
    N, D = rows["n_params"].to_numpy(float), rows["n_tokens"].to_numpy(float)
    found = np.empty(len(rows))
    for unique in rows["unique"].unique():
        here = (rows["unique"] == unique).to_numpy()
        if np.isinf(params_decay):
            wall = DataWall(float(unique), suited_params=np.inf, token_decay=token_decay)
        else:
            wall = DataWall(
                float(unique), token_decay=token_decay, params_decay=params_decay
            ).suited_to(law)
        found[here] = law.loss(*wall.effective(N[here], D[here]))
    return found - law.loss(N, D)


def fitted_decay(rows: pd.DataFrame, law: Chinchilla) -> float:
    """Fit R*_D by least squares on the extra loss, no parameter counted as excess."""

    def squares(log_decay: float) -> float:
        return float(np.sum((predicted(rows, law, np.exp(log_decay)) - rows["extra"]) ** 2))

    found = optimize.minimize_scalar(squares, bounds=(np.log(0.1), np.log(1e3)), method="bounded")
    return float(np.exp(found.x))


def errors_of_forms(
    rows: pd.DataFrame, law: Chinchilla, forms: Mapping[str, tuple[float, float]]
) -> pd.DataFrame:
    """Return root mean square errors of the extra loss, nats, by form and epochs.

    Parameters
    ----------
    rows : DataFrame
        Of :func:`pairs`.
    law : Chinchilla
    forms : mapping of str to (R*_D, R*_N)
    """
    epochs = rows["epochs"]
    parts = {
        "to 4 epochs": epochs.between(1.01, 4),
        "4 to 16": (epochs > 4) & (epochs <= 16),
        "beyond": epochs > 16,
    }
    errors = {name: rows["extra"] - predicted(rows, law, *form) for name, form in forms.items()}
    found = {
        part: {name: float(np.sqrt((e[here] ** 2).mean())) for name, e in errors.items()}
        for part, here in parts.items()
    }
    return pd.DataFrame(found).rename_axis("form")


def best_under_stock(inference: float, budget: float) -> pd.DataFrame:
    """Compare sizes at equal budgets where the stock of unique tokens ends.

    Returns
    -------
    DataFrame
        As :func:`~t2lib.studies.testbed.variant_lines`, with ``unique`` in the place of
        ``variant``; the sizes are those of the repeated runs.
    """
    table = variants()
    table = table[table["variant"].str.startswith("unique=")]
    table = table[np.isclose(table["budget"], budget)]
    lines = variant_lines(table, inference)
    unique = lines.pop("variant").str.removeprefix("unique=").astype(int)
    return lines.assign(unique=unique)
