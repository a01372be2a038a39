"""What is trained: runs, sizes, the grid of checkpoints and the presets. Needs no JAX."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from t2lib._checks import DataError, require_one_of
from t2lib.testbed.corpus import N_SYMBOLS

LAYERS = 2
CHUNK = 2**14  # tokens of one compiled scan; every checkpoint ends one
FIRST_TOKENS = 2**17  # no checkpoint before
RATE_TOKENS = 2**23  # of runs with another learning rate, at most
UNIT_BUDGET = 1e10  # FLOPs; every size is judged at the budgets 1e10 x 2^(i/2)
# Tokens a step, from D tokens on. At small D, large steps leave a model too few of them.
BATCHES = ((0, 256), (2**19, 512), (2**21, 1024))
LARGEST_WIDTH, MOST_SEEDS = 1024, 1000


@dataclass(frozen=True)
class Run:
    """One model to train.

    Attributes
    ----------
    width, seed : int
        The seed draws the weights and, with the width, the stream.
    tokens : int
        Where training ends.
    unique : int
        Tokens of the stream before it begins anew; 0 for never.
    rate : float
        Factor on the learning rate's rule.
    budgets : tuple of float
        Training budgets, of the grid's, whose checkpoints alone are kept beside the last; all
        where there are none.

    Raises
    ------
    DataError
        For a width or seed that is none, or tokens that are no whole chunks.
    """

    width: int
    seed: int
    tokens: int
    unique: int = 0
    rate: float = 1.0
    budgets: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not 8 <= self.width <= LARGEST_WIDTH or self.width % (2 * heads(self.width)):
            what = f"want even heads, 8 to {LARGEST_WIDTH}, such as 8, 12, 16, 24, 32, 48, 64"
            raise DataError(f"width {self.width}: {what}")
        if not 0 <= self.seed < MOST_SEEDS:
            raise DataError(f"seed {self.seed}: want 0 to {MOST_SEEDS - 1}")
        for name in ("tokens", "unique"):
            if (value := getattr(self, name)) < 0 or value % CHUNK:
                raise DataError(f"{name} {value}: want a multiple of {CHUNK}")

    @property
    def name(self) -> str:
        """Return the name of the run's folder, the model's name in every table."""
        more = f"-u{self.unique}" if self.unique else ""
        more += f"-r{self.rate:g}" if self.rate != 1 else ""
        return f"w{self.width:04d}-s{self.seed}{more}"

    @property
    def stream(self) -> int:
        """Return the seed of the stream: no two runs of a preset see the same documents."""
        return 10_000 * self.seed + self.width

    def facts(self) -> dict[str, Any]:
        """Return what a saved state must agree with; its end and its checkpoints may change."""
        may_change = ("tokens", "budgets")
        return {name: value for name, value in asdict(self).items() if name not in may_change}

    def checkpoints(self) -> list[int]:
        """Return every D to keep; the last is the run's end."""
        grid = checkpoint_grid(self.width, self.tokens)
        kept = [
            tokens
            for tokens in grid
            if not self.budgets or np.isclose(budget(self.width, tokens), self.budgets).any()
        ]
        return sorted({*kept, self.tokens})


@dataclass(frozen=True)
class Preset:
    """The runs of an experiment.

    Attributes
    ----------
    sizes : tuple of (width, seeds)
    tokens, flops : float
        Training ends at the last budget with no more of either.
    varied : tuple of float
        Budgets whose checkpoints are fine-tuned, and scored at other temperatures.
    far : tuple of (width, seeds)
        Sizes of which so many seeds are trained to the last budget, whatever the tokens.
    n_samples : int
        How often every question is sampled.
    rates : tuple of (width, factor)
        Runs with another learning rate, one seed, to 8 M tokens at most.
    wall : tuple of (width, unique tokens)
        Runs on repeated tokens, ``wall_seeds`` seeds, to ``wall_flops``.
    budgets : tuple of float
        As of a :class:`Run`, for all.
    """

    sizes: tuple[tuple[int, int], ...]
    tokens: float
    flops: float
    n_samples: int = 10_000
    varied: tuple[float, ...] = ()
    far: tuple[tuple[int, int], ...] = ()
    rates: tuple[tuple[int, float], ...] = ()
    wall: tuple[tuple[int, int], ...] = ()
    wall_seeds: int = 2
    wall_flops: float = 1.28e12
    budgets: tuple[float, ...] = ()

    def runs(self) -> list[Run]:
        """Return every run, the longest first: so the last ones end together."""
        far = dict(self.far)
        found = [
            Run(
                width,
                seed,
                self._end(width, np.inf if seed < far.get(width, 0) else self.tokens),
                budgets=self.budgets,
            )
            for width, seeds in self.sizes
            for seed in range(seeds)
        ]
        found += [
            Run(w, 0, self._end(w, min(RATE_TOKENS, self.tokens)), rate=r) for w, r in self.rates
        ]
        found += [
            Run(width, seed, self._end(width, self.tokens, self.wall_flops), unique=unique)
            for width, unique in self.wall
            for seed in range(self.wall_seeds)
        ]
        found = [run for run in found if run.tokens]
        if not found:
            raise DataError(f"{self.flops:g} FLOPs: too few for a checkpoint of any size")
        return sorted(found, key=lambda run: -(n_params(run.width) ** 0.5) * run.tokens)

    def _end(self, width: int, tokens: float, flops: float = np.inf) -> int:
        paid = min(flops, self.flops) / train_flops(width, 1) + CHUNK / 2  # as the grid rounds
        return max(checkpoint_grid(width, min(tokens, paid)), default=0)


PRESETS = {
    "tiny": Preset(
        tuple((width, 1) for width in (8, 16, 32)),
        2**19,
        1e11,
        1000,
        varied=(8e10,),
        rates=((8, 0.5),),
        wall=((8, 2**17),),
        wall_seeds=1,
    ),
    "laptop": Preset(
        (
            *((width, 5) for width in (8, 12, 16, 20)),
            *((width, 6) for width in (24, 32, 40, 48, 64, 80, 96, 128, 192, 256)),
        ),
        3.7e7,
        5.12e12,
        varied=(1.28e12, 2.56e12, 5.12e12),
        far=((20, 3), (24, 3)),  # what approach 2 chose for the largest budget
        rates=tuple((width, factor) for width in (8, 24, 64) for factor in (0.5, 2.0)),
        wall=tuple((w, 2**log) for w in (16, 24, 32, 48, 64) for log in (16, 18, 20)),
    ),
    # What the laws forecast for the two largest budgets, and laptop lacks: the nearest widths.
    "chosen": Preset(
        tuple((width, 5) for width in (8, 12, 14, 16, 18, 22, 28, 30, 36, 44, 54, 60)),
        np.inf,
        5.12e12,
    ),
    # Up to four times the largest budget of laptop. The book's smallest size is from a GPU.
    "further": Preset(
        ((32, 3), *((width, 5) for width in (48, 64, 80, 96, 128, 160, 192, 256))),
        np.inf,
        2.048e13,
        budgets=(5.12e12, 1.024e13, 2.048e13),
    ),
}


def preset(name: str, flops: float = np.inf) -> Preset:
    """Return a preset, no run of which exceeds the budget.

    Sizes for which the budget is too small for a checkpoint are left out.

    Raises
    ------
    DataError
        For an unknown name.
    """
    require_one_of(name, PRESETS, "preset")
    found = PRESETS[name]
    return replace(found, flops=min(flops, found.flops))


def n_params(width: int) -> int:
    """Count the weights but the token embedding: 12 L d^2 + 64 d, and the norms' (2 L + 1) d.

    Examples
    --------
    >>> n_params(8), n_params(256)
    (2088, 1590528)
    """
    return 12 * LAYERS * width**2 + N_SYMBOLS * width + (2 * LAYERS + 1) * width


def heads(width: int) -> int:
    """Count the heads: of 16 dimensions or more, of 32 from width 64 on."""
    return max(1, width // (16 if width < 64 else 32))


def rate_rule(width: int) -> float:
    """Return the learning rate, 0.01 (16 / width)^0.5."""
    return 0.01 * (16 / width) ** 0.5


def batch_tokens(tokens: int) -> int:
    """Return the tokens of a step after so many tokens."""
    return next(batch for start, batch in reversed(BATCHES) if tokens >= start)


def checkpoint_grid(width: int, tokens: float) -> list[int]:
    """Return every D to keep, whole chunks: the budgets 1e10 x 2^(i/2) over 6 N.

    So every size has a checkpoint at every budget, from 131,072 tokens on.

    Examples
    --------
    >>> checkpoint_grid(8, 2**19)
    [147456, 196608, 278528, 393216]
    """
    one = UNIT_BUDGET / train_flops(width, 1)
    first, last = 2 * np.log2(FIRST_TOKENS / one), 2 * np.log2(max(tokens, 1) / one)
    exact = one * 2 ** (np.arange(np.ceil(first), np.floor(last) + 2) / 2)
    chunks = np.round(exact / CHUNK).astype(int)
    return [int(CHUNK * n) for n in chunks if FIRST_TOKENS <= CHUNK * n <= tokens]


def train_flops(width: int, n_tokens: float) -> float:
    """Count the FLOPs of training, 6 N D."""
    return 6.0 * n_params(width) * n_tokens


def budget(width: int, tokens: int) -> float:
    """Return the training budget that a checkpoint of the grid stands for, FLOPs.

    Examples
    --------
    >>> budget(32, 31866880)
    5120000000000.0
    """
    steps = np.round(2 * np.log2(train_flops(width, tokens) / UNIT_BUDGET))
    return float(UNIT_BUDGET * 2 ** (steps / 2))
