"""What a law was fitted on, and how far a plan lies outside of it.

N, D and k are supported together, not each by itself: a place that lies between the smallest and
the largest of everything may still be far from every checkpoint. So the support is the convex hull
of the checkpoints in (log N, log D). And near a place in it, k is supported up to the least of the
largest k of the checkpoints around it: the nearest one on each side, that is the nearest with N and
D not below the place's, with N not below and D not above, and so on. A place at a checkpoint has
only that one around it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.spatial import ConvexHull

from t2lib import passk
from t2lib._checks import BoolArray, FloatArray, IntArray, positive

# A plan at the border is not outside for rounding.
_ROUNDING = 1e-9
# Checkpoints whose second width is this small a part of the first lie in one line.
_LINE = 1e-3
_QUANTITIES = ("N", "D", "D/N", "k")
# Each metric of a law, and the columns of a table that hold it.
_METRICS = {
    "pass_at_k": ("pass_at_k",),
    "neg_log_pass": ("neg_log_pass",),
    "loss": ("mean_nll", "loss"),
}


@dataclass(frozen=True, eq=False)
class Support:
    """The rows that a law was fitted to.

    Parameters
    ----------
    N, D : ndarray, shape (n,)
        Parameters and training tokens of each row's checkpoint, positive.
    k : ndarray, shape (n,), optional
        Samples of each row; None for a law that knows none. With ``right``: samples drawn.
    seen : ndarray, shape (n,), optional
        The metric that was fitted.
    metric : {"pass_at_k", "neg_log_pass", "loss"}
        Which it is.
    loss : ndarray, shape (n,), optional
        Mean negative log-likelihood of the row's checkpoint, where the fit took it.
    right : ndarray, shape (n,), optional
        Right samples of the ``k``, where the rows are questions; ``seen`` then follows from them.

    Examples
    --------
    >>> rows = pd.DataFrame({"n_params": [1e8, 1e9, 1e8, 1e9], "n_tokens": [2e9, 2e9, 1e11, 1e11],
    ...                      "k": [1000, 1000, 100, 10]})
    >>> support = Support.of(rows)
    >>> support.outside(3e8, 2e10, 50)
    {'k': 5.0}
    """

    N: FloatArray
    D: FloatArray
    k: FloatArray | None = None
    seen: FloatArray | None = None
    metric: str = "pass_at_k"
    loss: FloatArray | None = None
    right: FloatArray | None = None

    @classmethod
    def of(cls, fitted: Fitted, metric: str = "pass_at_k") -> Support:
        """Read the support off a table.

        Parameters
        ----------
        fitted : DataFrame, mapping or Support
            The fitted table: ``n_params``, ``n_tokens``, ``k`` where the fit used it, and the
            metric where it is to be shown. Where no more is known than (smallest, largest) of "N",
            "D" and perhaps "k", a mapping of these stands for a box. A support is returned as it
            is.
        metric : {"pass_at_k", "neg_log_pass", "loss"}
            Metric to show beside the law's.

        Raises
        ------
        ValueError
            Where it is no such table, is empty, or a size is not positive and finite.
        """
        if isinstance(fitted, Support):
            return fitted
        if not isinstance(fitted, pd.DataFrame):
            return cls._box(fitted)
        lacks = [name for name in ("n_params", "n_tokens") if name not in fitted]
        if lacks or not len(fitted):
            what = f"column {lacks[0]}" if lacks else "row"
            raise ValueError(f"fitted has no {what}: must be the table that was fitted")
        columns = {name: positive(fitted[name], name) for name in ("n_params", "n_tokens")}
        k = positive(fitted["k"], "k") if "k" in fitted and metric != "loss" else None
        shown = [name for name in _METRICS[metric] if name in fitted and fitted[name].notna().all()]
        seen = fitted[shown[0]].to_numpy(float) if shown else None
        return cls(columns["n_params"], columns["n_tokens"], k, seen, metric)

    @classmethod
    def _box(cls, ranges: Mapping[str, tuple[float, float]]) -> Support:
        if not {"N", "D"} <= set(ranges) <= {"N", "D", "k"}:
            raise ValueError(
                f"fitted has {', '.join(map(str, ranges)) or 'nothing'}: must be the table that "
                "was fitted, or ranges of N and D and perhaps k"
            )
        for name, (low, high) in ranges.items():
            if not 0 < low <= high < np.inf:
                raise ValueError(
                    f"fitted range of {name} is ({low:g}, {high:g}): "
                    "must be two positive numbers in rising order"
                )
        ends = [np.array(ranges.get(name, (1.0,)), dtype=float) for name in ("N", "D", "k")]
        N, D, k = (column.ravel() for column in np.meshgrid(*ends))
        return cls(N, D, k if "k" in ranges else None)

    # ------------------------------------------------------------------------- checkpoints

    @property
    def knows_k(self) -> bool:
        """Whether the law was fitted to numbers of samples."""
        return self.k is not None

    @cached_property
    def curves(self) -> pd.DataFrame:
        """One row a checkpoint and k: ``N``, ``D``, ``k``, ``seen`` (its mean where it repeats)."""
        k = np.ones(len(self.N)) if self.k is None else self.k
        if self.right is not None:
            return self._curves_of_counts(k, self.right)
        seen = np.full(len(self.N), np.nan) if self.seen is None else self.seen
        table = pd.DataFrame({"N": self.N, "D": self.D, "k": k, "seen": seen})
        return table.groupby(["N", "D", "k"])["seen"].mean().reset_index()

    def _curves_of_counts(self, n: FloatArray, right: FloatArray) -> pd.DataFrame:
        rows = pd.DataFrame({"N": self.N, "D": self.D, "n": n, "c": right})
        found = []
        for (N, D), part in rows.groupby(["N", "D"]):
            most = float(part["n"].min())
            for k in np.unique([*2.0 ** np.arange(np.floor(np.log2(most)) + 1), most]):
                seen = float(passk.pass_at_k(part["n"], part["c"], int(k)).mean())
                found.append({"N": N, "D": D, "k": k, "seen": seen})
        return pd.DataFrame(found)

    @cached_property
    def checkpoints(self) -> pd.DataFrame:
        """One row a checkpoint: ``N``, ``D``, and the largest ``k`` that it was measured at."""
        return self.curves.groupby(["N", "D"])["k"].max().reset_index()

    @cached_property
    def _places(self) -> FloatArray:
        return np.log(self.checkpoints[["N", "D"]].to_numpy())

    @cached_property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """Smallest and largest N, D, D/N (tokens per parameter) and, where it was fitted, k."""
        values = dict(zip(_QUANTITIES, (self.N, self.D, self.D / self.N, self.k), strict=True))
        return {
            name: (float(found.min()), float(found.max()))
            for name, found in values.items()
            if found is not None
        }

    @cached_property
    def dimension(self) -> int:
        """2 where the checkpoints span an area of (log N, log D), 1 in one line, 0 at one place."""
        widths = np.linalg.svd(self._places - self._places.mean(axis=0), compute_uv=False)
        if widths[0] <= _ROUNDING:
            return 0
        return 1 if len(widths) == 1 or widths[1] <= _LINE * widths[0] else 2

    @cached_property
    def hull(self) -> FloatArray:
        """N and D of the hull's corners, shape (corners, 2), counterclockwise.

        Checkpoints in one line have its two ends, and a single place is its own hull.
        """
        places = self._places
        if self.dimension == 2:
            return np.exp(places[ConvexHull(places).vertices])
        along = places - places.mean(axis=0)
        direction = np.linalg.svd(along, full_matrices=False)[2][0]
        ends = np.unique([(along @ direction).argmin(), (along @ direction).argmax()])
        return np.exp(places[ends])

    def sizes(self, train_flops: float) -> tuple[float, float]:
        """Return the smallest and the largest N that spend ``6 N D`` FLOPs inside the hull.

        Raises
        ------
        ValueError
            Where the hull has no such place.
        """
        corners = np.log(self.hull)
        beyond = corners.sum(axis=1) - np.log(positive(train_flops, "train_flops") / 6)
        ends = np.roll(corners, -1, axis=0), np.roll(beyond, -1)
        crossed = beyond * ends[1] < 0
        share = beyond[crossed] / (beyond - ends[1])[crossed]
        found = corners[crossed, 0] + share * (ends[0] - corners)[crossed, 0]
        found = np.concatenate([found, corners[np.abs(beyond) <= _ROUNDING, 0]])
        if not found.size:
            raise ValueError(f"no fitted N and D spend {train_flops:.3g} FLOPs")
        return float(np.exp(found.min())), float(np.exp(found.max()))

    # ------------------------------------------------------------------------------ plans

    def nearest_place(self, N: npt.ArrayLike, D: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Return the place of the hull that is nearest in (log N, log D); (N, D) itself inside."""
        N, D = np.broadcast_arrays(positive(N, "N"), positive(D, "D"))
        point = np.log(np.stack([N, D], axis=-1))[..., None, :]
        start = np.log(self.hull)
        side = np.roll(start, -1, axis=0) - start
        length = np.maximum((side**2).sum(axis=1), 1e-300)
        share = np.clip(((point - start) * side).sum(axis=-1) / length, 0, 1)
        foot = start + share[..., None] * side
        distance = ((point - foot) ** 2).sum(axis=-1)
        nearest = np.take_along_axis(foot, distance.argmin(axis=-1)[..., None, None], axis=-2)
        offset = point - start
        turn = side[:, 0] * offset[..., 1] - side[:, 1] * offset[..., 0]
        inside = (self.dimension == 2) & (turn >= 0).all(axis=-1)
        inside |= distance.min(axis=-1) <= _ROUNDING**2
        place = np.where(inside[..., None], point[..., 0, :], nearest[..., 0, :])
        return (
            np.where(inside, N, np.exp(place[..., 0])),
            np.where(inside, D, np.exp(place[..., 1])),
        )

    def largest_k(self, N: npt.ArrayLike, D: npt.ArrayLike) -> FloatArray:
        """Return the largest k that is supported near a place; N and D broadcast."""
        N, D = np.broadcast_arrays(positive(N, "N"), positive(D, "D"))
        most = self.checkpoints["k"].to_numpy(float)
        around = self._around(N.ravel(), D.ravel())
        found = np.where(around >= 0, most[around], np.inf).min(axis=1)
        return found.reshape(N.shape)

    def _around(self, N: FloatArray, D: FloatArray) -> IntArray:
        """Nearest checkpoint on each of the four sides of each place; -1 where there is none."""
        offset = self._places - np.log(np.stack([N, D], axis=1))[:, None, :]
        distance = (offset**2).sum(axis=2)
        found = []
        for x, y in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
            there = (x * offset[..., 0] >= -_ROUNDING) & (y * offset[..., 1] >= -_ROUNDING)
            apart = np.where(there, distance, np.inf)
            found.append(np.where(there.any(axis=1), apart.argmin(axis=1), -1))
        return np.stack(found, axis=1)

    def contains(self, N: npt.ArrayLike, D: npt.ArrayLike, k: npt.ArrayLike = 1.0) -> BoolArray:
        """Tell which plans lie inside; N, D, k broadcast."""
        N, D, k = np.broadcast_arrays(positive(N, "N"), positive(D, "D"), positive(k, "k"))
        near_N, near_D = self.nearest_place(N, D)
        inside = (near_N == N) & (near_D == D)
        if self.knows_k:
            inside &= k <= self.largest_k(N, D) * (1 + _ROUNDING)
            inside &= k >= self.curves["k"].min() * (1 - _ROUNDING)
        return inside

    def outside(self, N: float, D: float, k: float) -> dict[str, float]:
        """Tell how far a plan lies outside.

        Returns
        -------
        dict
            Empty inside. ``N`` and ``D``: the plan's over those of the nearest place of the hull.
            ``k``: over the largest supported there (or the smallest that was fitted).
        """
        near_N, near_D = (float(x) for x in self.nearest_place(N, D))
        ratios = {"N": N / near_N, "D": D / near_D}
        if self.knows_k:
            most, least = float(self.largest_k(near_N, near_D)), float(self.curves["k"].min())
            ratios["k"] = k / most if k > most else min(k / least, 1.0)
        return {name: ratio for name, ratio in ratios.items() if abs(np.log(ratio)) > _ROUNDING}

    def in_words(self, N: float, D: float, k: float) -> str:
        """Say whether a plan lies inside, and how far it lies outside."""
        ratios = self.outside(N, D, k)
        if not ratios:
            return "inside what was fitted"
        near_N, near_D = (float(x) for x in self.nearest_place(N, D))
        parts = [f"{name} is {ratios[name]:.3g} times" for name in ("N", "D") if name in ratios]
        words = []
        if parts:
            place = f"N {near_N:.3g}, D {near_D:.3g}"
            words.append(f"{' and '.join(parts)} the nearest place fitted ({place})")
        if "k" in ratios:
            end = "largest measured near by" if ratios["k"] > 1 else "smallest fitted"
            words.append(f"k is {ratios['k']:.3g} times the {end} ({k / ratios['k']:.4g})")
        return f"outside what was fitted: {', '.join(words)}"

    def nearest(self, N: float, D: float, k: float, law: Any = None) -> pd.DataFrame:
        """Return the checkpoints around a plan with what was seen there, and what a law says.

        Each at the largest of its k that is not above the plan's (its smallest where all are).

        Returns
        -------
        DataFrame
            The nearest first: ``N``, ``D``, ``k``, ``largest_k``, ``seen``, and with a law ``law``,
            both in :attr:`metric`.
        """
        places = np.unique(self._around(np.array([N]), np.array([D])))
        chosen = self.checkpoints.iloc[places[places >= 0]].rename(columns={"k": "largest_k"})
        distance = np.log(chosen["N"] / N) ** 2 + np.log(chosen["D"] / D) ** 2
        chosen = chosen.iloc[np.argsort(distance.to_numpy(), kind="stable")]
        rows = []
        for checkpoint in chosen.to_dict("records"):
            own = self.curves[
                (self.curves["N"] == checkpoint["N"]) & (self.curves["D"] == checkpoint["D"])
            ]
            below = own[own["k"] <= k * (1 + _ROUNDING)]
            row = (own.iloc[0] if below.empty else below.iloc[-1]).to_dict()
            row["largest_k"] = checkpoint["largest_k"]
            if law is not None:
                row["law"] = self._predicted(law, row["N"], row["D"], row["k"])
            rows.append(row)
        order = ["N", "D", "k", "largest_k", "seen", *(["law"] if law is not None else [])]
        return pd.DataFrame(rows)[order]

    def _predicted(self, law: Any, N: float, D: float, k: float) -> float:
        method = getattr(law, self.metric, None)
        if method is None:
            return np.nan
        try:
            return float(method(N, D) if self.metric == "loss" else method(N, D, k))
        except ValueError:  # a law for some k only
            return np.nan

    # ---------------------------------------------------------------------------- numbers

    def outline(self) -> dict[str, list[list[float]]]:
        """Return what tells inside from outside as plain numbers, for JSON and a live figure.

        ``hull``: [N, D] of its corners, counterclockwise. ``checkpoints``: [N, D, largest k] of
        each; where the largest k is the same for all, one stands for them.
        """
        table = self.checkpoints
        if (table["k"] == table["k"].iloc[0]).all():
            table = table.iloc[:1]
        return {"hull": _plain(self.hull), "checkpoints": _plain(table.to_numpy())}


# What a plan may be told about the fit: its table, ranges, or a support.
Fitted = Support | pd.DataFrame | Mapping[str, tuple[float, float]]


def _plain(rows: FloatArray) -> list[list[float]]:
    return [[float(f"{value:.6g}") for value in row] for row in rows]
