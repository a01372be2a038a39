"""What training and answering cost: FLOPs, memory, money, hours, energy.

A FLOP is one addition or multiplication. Only matrix products are counted, two FLOPs for each
multiply-add: norms, activations, softmax, sampling and the optimiser are left out, and so is
whatever is computed twice to save memory. P is the prompt's tokens, T the answer's, k the samples.

===================== ============================== ==============================================
what                  without an architecture        with an architecture
===================== ============================== ==============================================
weights, forward      2 N a token                    2 x the weights a token is multiplied with:
                                                     active experts, blocks and output head; looking
                                                     up an embedding is free
output head           in N                           every training token and every answer token;
                                                     a prompt needs no logits
attention, forward    left out                       4 x layers x attention width, a token and a
                                                     position that it attends to (scores and sums)
positions attended    --                             training and prompt: itself and all before it,
                                                     or the whole sequence (``causal=False``, what
                                                     kernels without a mask compute); answer: the
                                                     prompt, the answer so far, itself
training              6 N a token                    3 x the forward pass (the backward is twice it)
prompt                once a query with a shared     same
                      cache, k times without
answers               k T tokens a query             same; the last token of an answer is counted,
                                                     though nothing needs to follow it
N                     as the law counts it           as the family's ``count`` says
===================== ============================== ==============================================

Sources: Kaplan et al. (2020), arXiv:2001.08361, section 2.1, for 2 N and 6 N; Hoffmann et al.
(2022), arXiv:2203.15556, appendix F, for attention and the head; Sardana et al. (2024),
arXiv:2401.00448, for 2 N (P + T) a query; Juravsky et al. (2024), arXiv:2402.05099, for one prompt
shared by k samples; Pope et al. (2022), arXiv:2211.05102, for cache memory and decoding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import numpy as np
import numpy.typing as npt

from t2lib._checks import FloatArray, at_least_one, not_negative, positive, require
from t2lib.planning.architecture import COUNTS, Architecture, _array

Phase = Literal["training", "prefill", "decode"]
PHASES = ("training", "prefill", "decode")
# How far N may lie from the parameters of a fixed architecture: published sizes are rounded.
_ROUNDED = 0.05


class Cost(Protocol):
    """What a search over plans needs to know of costs; all three grow with N and take arrays."""

    def train_flops(self, N: npt.ArrayLike, D: npt.ArrayLike) -> FloatArray:
        """FLOPs (or money) of training N parameters on D tokens."""

    def tokens(self, N: npt.ArrayLike, train_flops: npt.ArrayLike) -> FloatArray:
        """Training tokens that a budget buys at N parameters, the inverse of it in D."""

    def query_flops(self, N: npt.ArrayLike, k: npt.ArrayLike) -> FloatArray:
        """FLOPs (or money) of one query with k samples, linear in k."""


@dataclass(frozen=True)
class Hardware:
    """A card: what it can do, what it costs, and how much of its peak each phase reaches.

    A utilisation is the share of the peak that does the FLOPs counted here, everything lost
    included: padding, waiting, communication, recomputation. Training and reading a prompt are
    bound by arithmetic. Decoding is bound by memory: each step reads every weight and the cache to
    do two FLOPs a weight and sequence, so its utilisation grows with the sequences decoded
    together; :meth:`CostModel.decode_utilisation` gives a ceiling.

    Parameters
    ----------
    peak_flops : float
        FLOPs per second at the precision in use, without sparsity.
    price_per_hour : float, optional
        Money for one card and hour, in any currency.
    memory_bytes, bandwidth : float, optional
        Bytes of memory, and bytes per second that it delivers.
    watts : float, optional
        Power drawn by one busy card, with its share of host and cooling.
    training_utilisation, prefill_utilisation, decode_utilisation : float
        Above 0, at most 1. The defaults are round numbers to be replaced by one's own: large
        training runs report 0.3 to 0.55 (Chowdhery et al. 2022), decoding a few hundredths at
        small batches (Pope et al. 2022).

    Raises
    ------
    ValueError
        Where a number is not positive and finite or a utilisation exceeds 1.

    References
    ----------
    Chowdhery et al. (2022), arXiv:2204.02311, section 4.1, defines the utilisation of model FLOPs;
    Pope et al. (2022), arXiv:2211.05102, measures prefill and decoding apart.

    Examples
    --------
    >>> card = Hardware(peak_flops=1e15, price_per_hour=2.0, training_utilisation=0.4)
    >>> hours = card.hours(1.44e21, "training")
    >>> float(hours), float(card.money(hours))
    (1000.0, 2000.0)
    """

    peak_flops: float
    price_per_hour: float | None = None
    memory_bytes: float | None = None
    bandwidth: float | None = None
    watts: float | None = None
    training_utilisation: float = 0.4
    prefill_utilisation: float = 0.4
    decode_utilisation: float = 0.1

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None:
                positive(value, name)
            if name.endswith("_utilisation") and value > 1:
                raise ValueError(f"{name} is {value:g}: must be at most 1")

    def hours(self, flops: npt.ArrayLike, phase: Phase) -> FloatArray:
        """Card-hours, ``flops / (peak_flops * utilisation) / 3600``.

        Parameters
        ----------
        flops : array_like
        phase : {"training", "prefill", "decode"}

        Raises
        ------
        ValueError
            For another phase, or where FLOPs are negative or not finite.
        """
        if phase not in PHASES:
            raise ValueError(f"phase is {phase!r}: must be one of {', '.join(PHASES)}")
        utilisation = getattr(self, f"{phase}_utilisation")
        return not_negative(flops, "flops") / (self.peak_flops * utilisation) / 3600

    def money(self, hours: npt.ArrayLike) -> FloatArray:
        """Price of card-hours; ValueError without ``price_per_hour``."""
        return not_negative(hours, "hours") * self._need("price_per_hour")

    def energy(self, hours: npt.ArrayLike) -> FloatArray:
        """Energy of card-hours in kWh; ValueError without ``watts``.

        A card that waits for memory is counted at full power: an upper bound while decoding.
        """
        return not_negative(hours, "hours") * self._need("watts") / 1000

    def _need(self, name: str) -> float:
        value = getattr(self, name)
        if value is None:
            raise ValueError(f"{name} of the hardware is not given")
        return float(value)


@dataclass(frozen=True)
class CostModel:
    """FLOPs and memory of training a model and of answering queries with it.

    The default is the T2 paper's: 6 N D for training, 2 N k for a query. All methods are
    vectorised: N, D and k broadcast.

    Parameters
    ----------
    prompt_tokens, answer_tokens : float
        Tokens P of a prompt (0 or more) and T of one sampled answer (positive).
    shared_cache : bool
        Whether the k samples of a query share the prompt's keys and values. Then the prompt is
        processed and stored once, not k times.
    architecture : Architecture, or function of N that returns one, optional
        Adds attention, and counts the embeddings apart. A search over N needs a function, such as
        :class:`~t2lib.planning.architecture.ArchitectureFamily`, that takes arrays. A single
        architecture costs its own model only: N must be within 5 % of one of its counts, and the
        count is used, not N.
    sequence_length : float
        Tokens of one training sequence, which attention depends on.
    causal : bool
        Whether attention computes only what the mask leaves.

    Raises
    ------
    ValueError
        Where a number is out of its range.

    References
    ----------
    See the conventions above.

    Examples
    --------
    >>> float(CostModel().train_flops(1e9, 2e10)), float(CostModel().query_flops(1e9, 8))
    (1.2e+20, 16000000000.0)
    >>> chat = CostModel(prompt_tokens=1000, answer_tokens=500)
    >>> chat.query_flops(1e9, [1, 8]).tolist()
    [3000000000000.0, 10000000000000.0]
    """

    prompt_tokens: float = 0.0
    answer_tokens: float = 1.0
    shared_cache: bool = True
    architecture: Architecture | Callable[[FloatArray], Architecture] | None = None
    sequence_length: float = 2048.0
    causal: bool = True

    def __post_init__(self) -> None:
        not_negative(self.prompt_tokens, "prompt_tokens")
        positive(self.answer_tokens, "answer_tokens")
        if positive(self.sequence_length, "sequence_length") < 1:
            raise ValueError(f"sequence_length is {self.sequence_length:g}: must be at least 1")
        if not (self.architecture is None or callable(self.architecture)) and not isinstance(
            self.architecture, Architecture
        ):
            raise ValueError(
                f"architecture is a {type(self.architecture).__name__}: "
                "must be an Architecture or a function of N that returns one"
            )

    # ---------------------------------------------------------------------------- training

    def train_flops(self, N: npt.ArrayLike, D: npt.ArrayLike) -> FloatArray:
        """FLOPs of training N parameters on D tokens: ``6 N D``, or three forward passes."""
        return self._train_flops_per_token(N) * positive(D, "D")

    def tokens(self, N: npt.ArrayLike, train_flops: npt.ArrayLike) -> FloatArray:
        """Training tokens D that a budget buys at N parameters, the inverse of train_flops."""
        return positive(train_flops, "train_flops") / self._train_flops_per_token(N)

    def _train_flops_per_token(self, N: npt.ArrayLike) -> FloatArray:
        S = self.sequence_length
        # Each forward product has two in the backward pass: by inputs and by weights.
        return 3 * self._forward_flops(N, attended=(S + 1) / 2 if self.causal else S)

    # ---------------------------------------------------------------------------- answering

    def query_tokens(self, k: npt.ArrayLike) -> FloatArray:
        """Tokens processed for one query, ``P + k T``, or ``k (P + T)`` without a shared cache."""
        k = at_least_one(k)
        return self._prompts(k) * self.prompt_tokens + k * self.answer_tokens

    def prefill_flops(self, N: npt.ArrayLike, k: npt.ArrayLike) -> FloatArray:
        """FLOPs of reading one query's prompt: ``2 N P``, or ``2 N k P`` without a shared cache."""
        return self._prompts(at_least_one(k)) * self._flops_per_prompt(N)

    def decode_flops(self, N: npt.ArrayLike, k: npt.ArrayLike) -> FloatArray:
        """FLOPs of writing k answers to one query, ``2 N k T``."""
        return at_least_one(k) * self._flops_per_answer(N)

    def query_flops(self, N: npt.ArrayLike, k: npt.ArrayLike) -> FloatArray:
        """FLOPs of one query: ``2 N (P + k T)``, or ``2 N k (P + T)`` without a shared cache."""
        return self.prefill_flops(N, k) + self.decode_flops(N, k)

    def samples(self, N: npt.ArrayLike, query_flops: npt.ArrayLike) -> FloatArray:
        """Samples k that a budget for one query buys, the inverse of query_flops in k.

        Not rounded; below 1, or negative, where the budget does not pay for one sample.
        """
        budget = positive(query_flops, "query_flops")
        prompt, answer = self._flops_per_prompt(N), self._flops_per_answer(N)
        return (budget - prompt) / answer if self.shared_cache else budget / (prompt + answer)

    def total_flops(
        self, N: npt.ArrayLike, D: npt.ArrayLike, k: npt.ArrayLike, queries: npt.ArrayLike
    ) -> FloatArray:
        """FLOPs over a model's life: ``6 N D + Q * 2 N (P + k T)`` for Q queries."""
        lifetime = not_negative(queries, "queries") * self.query_flops(N, k)
        return self.train_flops(N, D) + lifetime

    def _prompts(self, k: FloatArray) -> FloatArray:
        return np.ones_like(k) if self.shared_cache else k

    def _flops_per_prompt(self, N: npt.ArrayLike) -> FloatArray:
        P = self.prompt_tokens
        attended = (P + 1) / 2 if self.causal else P
        return P * self._forward_flops(N, attended, logits=False)

    def _flops_per_answer(self, N: npt.ArrayLike) -> FloatArray:
        T = self.answer_tokens
        # Token j of the answer attends to the prompt and to j tokens of the answer.
        return T * self._forward_flops(N, attended=self.prompt_tokens + (T + 1) / 2)

    # ------------------------------------------------------------------- FLOPs of one token

    def _forward_flops(self, N: npt.ArrayLike, attended: float, logits: bool = True) -> FloatArray:
        """FLOPs of one token's forward pass that attends to so many positions on average."""
        N = positive(N, "N")
        if self.architecture is None:
            return 2 * N
        shape = self.architecture_of(N)
        weights = shape.multiplied_weights + (shape.head_weights if logits else 0)
        # One product for the scores of queries and keys, one for the weighted sum of values.
        return 2 * weights + 4 * _array(shape.layers) * shape.attention_width * attended

    def architecture_of(self, N: npt.ArrayLike) -> Architecture:
        """Return the architecture of N parameters; ValueError where there is none."""
        N = positive(N, "N")
        if self.architecture is None:
            raise ValueError("architecture is not given: this needs the model's sizes")
        if isinstance(self.architecture, Architecture):
            counts = [self.architecture.parameters(count) for count in COUNTS]
            near = np.min([np.abs(N / count - 1) for count in counts], axis=0) <= _ROUNDED
            require(near, "N", N, f"the architecture has {counts[0]:.6g} parameters")
            return self.architecture
        return self.architecture(N)

    # ---------------------------------------------------------------------------- memory

    def weight_bytes(self, N: npt.ArrayLike, bytes_per_weight: float = 2.0) -> FloatArray:
        """Bytes of the weights, all experts and embeddings with them; 2 a weight is bfloat16."""
        N, size = positive(N, "N"), positive(bytes_per_weight, "bytes_per_weight")
        return size * (N if self.architecture is None else self.architecture_of(N).parameters())

    def cache_bytes(
        self, N: npt.ArrayLike, k: npt.ArrayLike, bytes_per_value: float = 2.0
    ) -> FloatArray:
        """Bytes of keys and values of one query when all k answers are complete.

        ``2 * layers * kv_heads * head_width * bytes`` for each of ``P + k T`` tokens, or of
        ``k (P + T)`` without a shared cache (Pope et al. 2022, section 3.3; grouped queries by
        Ainslie et al. 2023, shared prompts by Kwon et al. 2023, arXiv:2309.06180).

        Parameters
        ----------
        N, k : array_like
            Parameters and samples; they broadcast.
        bytes_per_value : float
            2 for 16-bit numbers.

        Returns
        -------
        ndarray of float

        Raises
        ------
        ValueError
            Without an architecture, or where an argument is out of range.
        """
        return self.query_tokens(k) * self._cache_bytes_per_token(N, bytes_per_value)

    def samples_that_fit(
        self,
        N: npt.ArrayLike,
        hardware: Hardware,
        *,
        bytes_per_weight: float = 2.0,
        bytes_per_value: float = 2.0,
        usable: float = 0.9,
    ) -> FloatArray:
        """How many samples of one query fit a card beside the weights, as a whole number.

        Parameters
        ----------
        N : array_like
            Parameters.
        hardware : Hardware
            With ``memory_bytes``; those of all cards together where a model is spread over several.
        bytes_per_weight, bytes_per_value : float
            2 for 16-bit numbers.
        usable : float
            Share of the memory for weights and cache; activations and the rest take what is left.

        Returns
        -------
        ndarray of float
            Whole numbers; 0 where not even one sample fits.

        Raises
        ------
        ValueError
            Without an architecture or ``memory_bytes``, or where an argument is out of range.
        """
        if not 0 < usable <= 1:
            raise ValueError(f"usable is {usable:g}: must be above 0, at most 1")
        room = usable * hardware._need("memory_bytes") - self.weight_bytes(N, bytes_per_weight)
        tokens = room / self._cache_bytes_per_token(N, bytes_per_value)
        P, T = self.prompt_tokens, self.answer_tokens
        return np.maximum(np.floor((tokens - P) / T if self.shared_cache else tokens / (P + T)), 0)

    def _cache_bytes_per_token(self, N: npt.ArrayLike, bytes_per_value: float) -> FloatArray:
        shape = self.architecture_of(N)
        size = positive(bytes_per_value, "bytes_per_value")
        return 2 * _array(shape.layers) * shape.kv_width * size

    def decode_utilisation(
        self,
        N: npt.ArrayLike,
        sequences: npt.ArrayLike,
        hardware: Hardware,
        *,
        bytes_per_weight: float = 2.0,
        bytes_per_value: float = 2.0,
    ) -> FloatArray:
        """Ceiling of the decode utilisation, from how fast memory delivers weights and cache.

        One step takes at least the larger of FLOPs / peak and bytes / bandwidth (the roofline of
        Williams et al. 2009). It reads all weights once (all experts of a mixture: many sequences
        visit them all) and each sequence's own cache, half an answer long on average. The prompt's
        cache is read for each sequence too, as ordinary kernels do. Real kernels stay below this.

        Parameters
        ----------
        N, sequences : array_like
            Parameters, and sequences decoded together (of one query or of many); they broadcast.
        hardware : Hardware
            With ``bandwidth``.
        bytes_per_weight, bytes_per_value : float
            2 for 16-bit numbers.

        Returns
        -------
        ndarray of float
            Share of the peak, at most 1. Without an architecture the cache is left out.

        Raises
        ------
        ValueError
            Without ``bandwidth``, or where an argument is out of range.
        """
        sequences = positive(sequences, "sequences")
        flops = sequences * self._flops_per_answer(N) / self.answer_tokens
        size = self.weight_bytes(N, bytes_per_weight)
        if self.architecture is not None:
            length = self.prompt_tokens + (self.answer_tokens + 1) / 2
            size = size + sequences * length * self._cache_bytes_per_token(N, bytes_per_value)
        waiting = size / hardware._need("bandwidth")
        return np.minimum(flops / hardware.peak_flops / waiting, 1.0)

    # ---------------------------------------------------------------------------- the bill

    def bill(
        self, N: float, D: float, k: float, queries: float, hardware: Hardware
    ) -> dict[str, dict[str, float]]:
        """What a plan spends on training, reading prompts and writing answers.

        Parameters
        ----------
        N, D, k, queries : float
            Parameters, training tokens, samples a query, queries over the model's life (0 or more).
        hardware : Hardware
            Money is counted where it has a price, energy where it has watts.

        Returns
        -------
        dict of dict
            For "training", "prefill", "decode" and "total": ``flops``, ``card_hours``, and where
            known ``money`` and ``energy_kwh``.

        Raises
        ------
        ValueError
            Where an argument is out of range.
        """
        queries = float(not_negative(queries, "queries"))
        work: dict[Phase, FloatArray] = {
            "training": self.train_flops(N, D),
            "prefill": queries * self.prefill_flops(N, k),
            "decode": queries * self.decode_flops(N, k),
        }
        lines: dict[str, dict[str, float]] = {}
        for phase, flops in work.items():
            hours = hardware.hours(flops, phase)
            lines[phase] = {"flops": float(flops), "card_hours": float(hours)}
            if hardware.price_per_hour is not None:
                lines[phase]["money"] = float(hardware.money(hours))
            if hardware.watts is not None:
                lines[phase]["energy_kwh"] = float(hardware.energy(hours))
        columns = lines["training"]
        total = {name: sum(line[name] for line in lines.values()) for name in columns}
        return {**lines, "total": total}

    def in_money(self, hardware: Hardware) -> PricedCost:
        """Return the same costs in money, so that a search can spend money instead of FLOPs."""
        return PricedCost(self, hardware)


@dataclass(frozen=True)
class PricedCost:
    """A cost model whose unit is money: each phase at its own utilisation.

    It stands wherever a :class:`CostModel` does, and its methods keep their names: what they call
    FLOPs, budgets too, is money here. A FLOP of decoding is dearer than one of training by the
    ratio of the two utilisations.

    Parameters
    ----------
    cost : CostModel
    hardware : Hardware
        With ``price_per_hour``.

    Raises
    ------
    ValueError
        Without a price.

    Examples
    --------
    >>> card = Hardware(peak_flops=1e15, price_per_hour=2.0)
    >>> float(CostModel().in_money(card).train_flops(1e9, 2.4e11))
    2000.0
    """

    cost: CostModel
    hardware: Hardware
    unit: ClassVar[str] = "of money"  # what a plan's summary says after a number

    def __post_init__(self) -> None:
        self.hardware._need("price_per_hour")

    def train_flops(self, N: npt.ArrayLike, D: npt.ArrayLike) -> FloatArray:
        """Money for training."""
        return self._money(self.cost.train_flops(N, D), "training")

    def tokens(self, N: npt.ArrayLike, train_flops: npt.ArrayLike) -> FloatArray:
        """Training tokens that an amount of money buys."""
        return positive(train_flops, "train_flops") / self.train_flops(N, 1.0)

    def prefill_flops(self, N: npt.ArrayLike, k: npt.ArrayLike) -> FloatArray:
        """Money for reading one query's prompt."""
        return self._money(self.cost.prefill_flops(N, k), "prefill")

    def decode_flops(self, N: npt.ArrayLike, k: npt.ArrayLike) -> FloatArray:
        """Money for writing k answers to one query."""
        return self._money(self.cost.decode_flops(N, k), "decode")

    def query_flops(self, N: npt.ArrayLike, k: npt.ArrayLike) -> FloatArray:
        """Money for one query."""
        return self.prefill_flops(N, k) + self.decode_flops(N, k)

    def _money(self, flops: FloatArray, phase: Phase) -> FloatArray:
        return self.hardware.money(self.hardware.hours(flops, phase))
