"""The cost model against the clock: seconds to sample, over size, prompt, answer and samples."""

from __future__ import annotations

import itertools
import platform
import statistics
import time
from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np

from t2lib.testbed.presets import LAYERS, n_params

WIDTHS, PROMPTS, ANSWERS, SAMPLES = (64, 128, 256), (16, 64), (2, 8), (16, 256)
SPEED_WIDTHS = (16, 32, 64, 128, 256)
REPEATS = 5
MANY = 10_000  # samples of a question, as the experiment draws


def counted(width: int, P: int, T: int, k: int, *, cache: bool) -> dict[str, float]:
    """Count the FLOPs of sampling k answers of T tokens to a prompt of P by three formulas.

    Returns
    -------
    dict
        ``formula``, the usual 2N(P + kT), or 2Nk(P + T) without a cache; ``passes``, 2N times the
        tokens that really pass through the model (the last of an answer does not; without a cache
        each passes again for every token after it); ``attention``, the same with the attention to
        what stands before, 4 layers width a token and token attended to.

    Examples
    --------
    >>> found = counted(64, 16, 2, 10, cache=True)
    >>> [found[name] / (2 * n_params(64)) for name in ("formula", "passes")]
    [36.0, 26.0]
    """
    N = n_params(width)
    before = 2.0 * LAYERS * width * P * (P + 1)  # of a prompt read once
    if cache:
        formula, tokens = P + k * T, P + k * (T - 1)
        attended = before + 4.0 * LAYERS * width * k * sum(P + t for t in range(1, T))
    else:
        formula, tokens = k * (P + T), P + k * sum(P + t for t in range(1, T))
        again = sum(2.0 * LAYERS * width * (P + t) * (P + t + 1) for t in range(1, T))
        attended = before + k * again
    return {
        "formula": 2.0 * N * formula,
        "passes": 2.0 * N * tokens,
        "attention": 2.0 * N * tokens + attended,
    }


def timed(
    widths: Iterable[int] = WIDTHS,
    prompts: Iterable[int] = PROMPTS,
    answers: Iterable[int] = ANSWERS,
    samples: Iterable[int] = SAMPLES,
    *,
    repeats: int = REPEATS,
) -> dict[str, Any]:
    """Time the sampler with and without a key-value cache, one thread, compiled beforehand.

    Returns
    -------
    dict
        ``processor``; ``product_flops``, FLOPs a second of a plain matrix product of 512 x 512;
        ``rows``: ``width, P, T, k, cache, seconds`` (median) and the counts of :func:`counted`.
    """
    from t2lib.testbed.grid import configure_jax

    configure_jax()
    import jax
    import jax.numpy as jnp

    from t2lib.testbed.model import initial
    from t2lib.testbed.sample import drawn

    matrix = jnp.ones((512, 512))
    product = jax.jit(jnp.matmul)
    key, rows = jax.random.key(0), []
    places = itertools.product(widths, prompts, answers, samples, (True, False))
    for width, P, T, k, cache in places:
        weights, prompt = initial(width, 0), np.zeros((1, P), dtype=np.uint8)

        def draw(weights: Any = weights, prompt: Any = prompt, T: int = T, k: int = k) -> Any:
            return drawn(weights, prompt, key, length=T, n=k, use_cache=cache)  # noqa: B023

        seconds = _median(draw, repeats)
        about = {"width": width, "P": P, "T": T, "k": k, "cache": cache, "seconds": seconds}
        rows.append(about | counted(width, P, T, k, cache=cache))
    speed = 2 * 512**3 / _median(lambda: product(matrix, matrix), 20 * repeats)
    return {
        "processor": platform.processor() or platform.machine(),
        "product_flops": speed,
        "rows": rows,
    }


def speeds(widths: Iterable[int] = SPEED_WIDTHS, *, repeats: int = REPEATS) -> list[dict[str, Any]]:
    """Time training, and three ways to sample the questions of a family, one thread.

    Returns
    -------
    list of dict
        A row a size: ``width``; ``tokens``, trained a second once steps are of 1,024 tokens; and
        answers a second: ``cache`` and ``no_cache``, symbol by symbol, 256 at a time, and
        ``tree``, the exact counts of :data:`MANY` samples a question.
    """
    from t2lib.testbed.grid import configure_jax

    configure_jax()
    import jax

    from t2lib.testbed.corpus import QUESTIONS, questions
    from t2lib.testbed.model import initial
    from t2lib.testbed.presets import BATCHES, CHUNK, Run
    from t2lib.testbed.sample import drawn, right_counts
    from t2lib.testbed.train import State

    text, start, length = asked = questions("arithmetic")
    many, key, random = 256, jax.random.key(0), np.random.default_rng(0)
    asked_in_all, rows = QUESTIONS * MANY, []
    for width in widths:
        state = State(Run(width, 0, 0))
        state.tokens = BATCHES[-1][0]
        weights = initial(width, 0)
        count = partial(right_counts, weights, asked, MANY, random)
        draw = partial(drawn, weights, text[:1, :start], key, length=length, n=many)
        rows.append(
            {
                "width": width,
                "tokens": CHUNK / _median(partial(_advanced, state), repeats),
                "cache": many / _median(draw, repeats),
                "no_cache": many / _median(partial(draw, use_cache=False), repeats),
                "tree": asked_in_all / _median(count, repeats),
            }
        )
    return rows


def _advanced(state: Any) -> Any:
    state.advance()
    return state.tree["weights"]["head"]


def _median(call: Any, repeats: int) -> float:
    """Return the median seconds of a call, after one that compiles."""
    import jax

    jax.block_until_ready(call())
    seconds = []
    for _ in range(repeats):
        begun = time.perf_counter()
        jax.block_until_ready(call())
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds)
