"""Sizes of a decoder-only transformer: what its parameters are and how many there are.

"N" means different things in different papers. :meth:`Architecture.parameters` counts all of them:

====================== ====================================================== =====================
count                  what is in it                                          who counts so
====================== ====================================================== =====================
"all"                  every weight: embedding, head, norms, biases, experts  Hoffmann et al. 2022
"non_embedding"        all, less the embedding and the output head            Kaplan et al. 2020
"active"               all, less the experts that a token does not visit      mixtures of experts
"active_non_embedding" active, less the embedding and the output head         FLOPs in the blocks
====================== ====================================================== =====================

A tied head is the input embedding itself and is counted once.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
import numpy.typing as npt

from t2lib._checks import FloatArray, positive

Count = Literal["all", "non_embedding", "active", "active_non_embedding"]
COUNTS: tuple[Count, ...] = ("all", "non_embedding", "active", "active_non_embedding")


@dataclass(frozen=True)
class Architecture:
    """A decoder-only transformer, by its sizes.

    Sizes may be arrays that broadcast (a family of models), and need not be whole.

    Parameters
    ----------
    layers, width, heads, kv_heads, ffn_width, vocabulary : float or array_like
        Blocks; residual width; attention heads; heads of keys and values (fewer than ``heads`` is
        grouped-query attention, 1 multi-query); hidden width of the feed-forward part (of one
        expert); entries of the vocabulary.
    gated : bool
        Whether the feed-forward part has three matrices (SwiGLU and its kin) or two.
    tied : bool
        Whether the output head is the input embedding.
    biases : bool
        Whether the matrices in the blocks and the norms carry biases.
    head_width : float or array_like, optional
        Width of one head; ``width / heads`` by default.
    experts, active_experts : int
        Feed-forward parts in each block, and how many of them a token visits; a router is counted
        where there are several.

    Raises
    ------
    ValueError
        Where a size is not positive and finite, ``kv_heads`` exceeds ``heads``, or
        ``active_experts`` exceeds ``experts``.

    References
    ----------
    Kaplan et al. (2020), arXiv:2001.08361, table 1; Ainslie et al. (2023), arXiv:2305.13245
    (grouped queries); Shazeer (2020), arXiv:2002.05202 (gates); Fedus et al. (2021),
    arXiv:2101.03961 (experts).

    Examples
    --------
    >>> llama = Architecture(layers=32, width=4096, heads=32, kv_heads=32, ffn_width=11008,
    ...                      vocabulary=32000)
    >>> f"{llama.parameters():,.0f}"  # Llama-2-7B
    '6,738,415,616'
    """

    layers: npt.ArrayLike
    width: npt.ArrayLike
    heads: npt.ArrayLike
    kv_heads: npt.ArrayLike
    ffn_width: npt.ArrayLike
    vocabulary: npt.ArrayLike
    gated: bool = True
    tied: bool = False
    biases: bool = False
    head_width: npt.ArrayLike | None = None
    experts: int = 1
    active_experts: int = 1

    def __post_init__(self) -> None:
        if self.head_width is None:
            heads = positive(self.heads, "heads")
            object.__setattr__(self, "head_width", positive(self.width, "width") / heads)
        for field in fields(self):
            if field.name not in ("gated", "tied", "biases"):
                value = positive(getattr(self, field.name), field.name)
                object.__setattr__(self, field.name, value if value.ndim else float(value))
        _at_most(self.kv_heads, self.heads, "kv_heads", "heads")
        _at_most(self.active_experts, self.experts, "active_experts", "experts")

    @property
    def attention_width(self) -> FloatArray:
        """Width of all queries of a token together, ``heads * head_width``."""
        return _array(self.heads) * _array(self.head_width)

    @property
    def kv_width(self) -> FloatArray:
        """Width of all keys (and of all values) of a token, ``kv_heads * head_width``."""
        return _array(self.kv_heads) * _array(self.head_width)

    @property
    def head_weights(self) -> FloatArray:
        """Weights that turn a token's last state into logits, ``width * vocabulary``."""
        return _array(self.width) * _array(self.vocabulary)

    @property
    def multiplied_weights(self) -> FloatArray:
        """Weights that every token is multiplied with inside the blocks; the head is not one."""
        return _array(self.layers) * self._matrices(self.active_experts)

    def parameters(self, count: Count = "all") -> FloatArray:
        """Return the number of parameters.

        Parameters
        ----------
        count : {"all", "non_embedding", "active", "active_non_embedding"}
            Which of them; see the table above.

        Returns
        -------
        float or ndarray

        Raises
        ------
        ValueError
            For another count.
        """
        _check_count(count)
        experts = self.active_experts if count.startswith("active") else self.experts
        layers, width = _array(self.layers), _array(self.width)
        # Two norms a block and one at the end, each with a scale and perhaps a bias.
        norms = (2 * layers + 1) * width * (1 + self.biases)
        blocks = layers * (self._matrices(experts) + self.biases * self._biases(experts))
        tables = 0 if count.endswith("non_embedding") else 2 - self.tied
        return blocks + norms + tables * self.head_weights

    def _matrices(self, experts: float) -> FloatArray:
        width = _array(self.width)
        attention = 2 * width * (self.attention_width + self.kv_width)
        one_expert = (2 + self.gated) * width * _array(self.ffn_width)
        router = width * self.experts if self.experts > 1 else 0.0
        return attention + experts * one_expert + router

    def _biases(self, experts: float) -> FloatArray:
        width = _array(self.width)
        attention = self.attention_width + 2 * self.kv_width + width
        router = self.experts if self.experts > 1 else 0
        return attention + experts * ((1 + self.gated) * _array(self.ffn_width) + width) + router


@dataclass(frozen=True)
class ArchitectureFamily:
    """A rule that gives every model size a plausible architecture.

    ``layers = width / aspect_ratio``, ``heads = width / head_width``, ``kv_heads = heads / group``,
    ``ffn_width = ffn_ratio * width``; the width follows from N. So depth and width grow together,
    each as about N^(1/3). Loss hardly depends on the aspect ratio (Kaplan et al. 2020, figure 5);
    128 is that of Llama-2-7B and of Pythia-6.9B.

    Parameters
    ----------
    aspect_ratio, head_width, group, ffn_ratio, vocabulary : float
        As above; ``group`` is the number of query heads that share one head of keys and values.
    gated, tied, experts, active_experts
        As in :class:`Architecture`. Biases are left out: no matrix multiplies them.
    count : {"all", "non_embedding", "active", "active_non_embedding"}
        What the N of the law counts.

    Raises
    ------
    ValueError
        Where a number is not positive and finite, ``group`` is below 1, or the count is unknown.

    Examples
    --------
    >>> model = ArchitectureFamily()(6.74e9, whole=True)
    >>> model.layers, model.width, model.heads, model.ffn_width
    (32.0, 4096.0, 32.0, 10944.0)
    """

    aspect_ratio: float = 128.0
    head_width: float = 128.0
    group: float = 1.0
    ffn_ratio: float = 8 / 3
    vocabulary: float = 32_000.0
    gated: bool = True
    tied: bool = False
    experts: int = 1
    active_experts: int = 1
    count: Count = "all"

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.name not in ("gated", "tied", "count"):
                positive(getattr(self, field.name), field.name)
        if self.group < 1:
            raise ValueError(f"group is {self.group:g}: must be at least 1")
        _at_most(self.active_experts, self.experts, "active_experts", "experts")
        _check_count(self.count)

    def __call__(self, N: npt.ArrayLike, whole: bool = False) -> Architecture:
        """Return the architecture, or with an array of N the architectures, of N parameters.

        Parameters
        ----------
        N : array_like, positive
            Parameters, counted as ``count`` says.
        whole : bool
            Whether to round the sizes to something that can be built: whole layers and heads, and
            a feed-forward width in steps of 64. The count is then near N and not N. Fractions
            make a search over N smooth.

        Returns
        -------
        Architecture

        Raises
        ------
        ValueError
            Where N is not positive and finite.
        """
        width = self._width(positive(N, "N"))
        heads, layers = width / self.head_width, width / self.aspect_ratio
        ffn_width = self.ffn_ratio * width
        if whole:
            group = max(round(self.group), 1)
            heads = group * np.maximum(np.round(heads / group), 1)
            width, layers = self.head_width * heads, np.maximum(np.round(layers), 1)
            ffn_width = 64 * np.maximum(np.round(self.ffn_ratio * width / 64), 1)
        return Architecture(
            layers=layers,
            width=width,
            heads=heads,
            kv_heads=heads / (group if whole else self.group),
            ffn_width=ffn_width,
            vocabulary=self.vocabulary,
            gated=self.gated,
            tied=self.tied,
            head_width=self.head_width,
            experts=self.experts,
            active_experts=self.active_experts,
        )

    def _width(self, N: FloatArray) -> FloatArray:
        """Solve cubic w^3 + square w^2 + linear w = N, the count of a model of width w."""
        experts = self.active_experts if self.count.startswith("active") else self.experts
        router = self.experts if self.experts > 1 else 0
        tables = 0 if self.count.endswith("non_embedding") else 2 - self.tied
        ffn = experts * (2 + self.gated) * self.ffn_ratio
        cubic = (2 + 2 / self.group + ffn) / self.aspect_ratio
        square = (2 + router) / self.aspect_ratio
        linear = 1 + tables * self.vocabulary
        # The logarithm of the count is convex in log w: Newton's steps from above never overshoot.
        x = np.log(np.minimum(N / linear, (N / cubic) ** (1 / 3)))
        for _ in range(50):
            w = np.exp(x)
            terms = np.array([cubic * w**3, square * w**2, linear * w])
            step = np.log(terms.sum(axis=0) / N)
            step *= terms.sum(axis=0) / np.tensordot([3, 2, 1], terms, axes=1)
            x = x - step
            if np.all(np.abs(step) < 1e-14):
                break
        return np.exp(x)


def _array(value: npt.ArrayLike | None) -> FloatArray:
    return np.asarray(value, dtype=float)


def _at_most(small: npt.ArrayLike | None, large: npt.ArrayLike | None, one: str, two: str) -> None:
    if np.any(_array(small) > _array(large)):
        raise ValueError(f"{one} is {small!r}: must be at most {two}, {large!r}")


def _check_count(count: str) -> None:
    if count not in COUNTS:
        raise ValueError(f"count is {count!r}: must be one of {', '.join(COUNTS)}")
