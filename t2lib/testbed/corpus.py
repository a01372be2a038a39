"""The synthetic language: documents of 16 symbols, a pure function of a seed and a position.

Four families, like the paper's synthetic tasks:

* **recall**: two of 16,384 facts, ``entity relation answer``. Half of them follow their relation's
  rule, half are exceptions that can only be remembered.
* **arithmetic**, **causal**, **spatial**: a mode, six events and a start; the answer is the trace
  of the six states that follow. An event maps 32 states onto 32, in each of 58 modes another way:
  by modular arithmetic, by a random permutation, or by a move on a 4 x 8 torus with the mode's
  portals.

Facts, modes and events have Zipf's frequencies (the r-th in proportion to log(1 + 1/r)), so every
family is thousands of skills, some seen hourly and some once. One document in a hundred asks its
question in another format, which fine-tuning is for.

A prompt whose hash leaves no remainder is held out: :func:`documents` replaces it by the next that
leaves one, so no question of :func:`questions` is ever in a stream, whatever the seed.
"""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from t2lib._checks import FloatArray, require_one_of

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghijklnopqtuvwxyzrmcs?."
FAMILIES = ("recall", "arithmetic", "causal", "spatial")
N_SYMBOLS, LENGTH = len(ALPHABET), 16
STATES, NAMES, STEPS = 32, 58, 6  # states of a trace; modes, events and answers' symbols; events
FACTS, RELATIONS, RULES, FACT_ANSWER = 16_384, 16, 4, 4
RULE_SHARE = 2 / 3  # of the facts; the others are exceptions
MARKER = (58, 59, 60, 61)  # of the families
ASKED, END = 62, 63
QUESTIONS = 512  # held out, a family
HELD_OUT = 64  # one prompt in so many
TESTED = 2  # one fact in so many is asked about; none of these is in the question format's stream
ASKED_SHARE = 1 / 100
OWN_SHARE = 0.35  # of the events that a mode gives a meaning of its own
WORLD = 11  # the seed of rules, facts and held-out questions
VALIDATION_SEED = 2**40  # of a stream that no run trains on
_WORDS = 12  # random numbers of a document: whole blocks of Philox's four

Symbols = npt.NDArray[np.uint8]
Indices = npt.NDArray[np.int64]


class Questions(NamedTuple):
    """Questions as whole documents; the answer is ``documents[:, start:start + length]``."""

    documents: Symbols
    start: int
    length: int


# --------------------------------------------------------------------------------------- the world


@cache
def machine_tables() -> npt.NDArray[np.uint8]:
    """Return the next state, shape (3 families, 58 modes, 58 events, 32 states)."""
    random = np.random.default_rng([WORLD, 1])
    tables = np.stack([one(random) for one in (_sums, _chances, _walks)])[:, None]
    tables = np.repeat(tables, NAMES, axis=1)
    own = random.random(tables.shape[:3]) < OWN_SHARE
    own[:, 0] = False  # the most frequent mode is the plain one
    tables[own] = random.permuted(tables[own], axis=-1)
    return tables.astype(np.uint8)


def _sums(random: np.random.Generator) -> Indices:
    """Multiply by an odd number and add another, modulo 32, shape (events, states)."""
    factor = 2 * random.integers(4, size=(NAMES, 1)) + 1
    return (factor * np.arange(STATES) + random.integers(STATES, size=(NAMES, 1))) % STATES


def _chances(random: np.random.Generator) -> Indices:
    """Permute the states at random."""
    return random.permuted(np.tile(np.arange(STATES), (NAMES, 1)), axis=1)


def _walks(random: np.random.Generator) -> Indices:
    """Move on a torus of 4 rows and 8 columns."""
    row, column = divmod(np.arange(STATES), 8)
    move = random.permutation(STATES * 2)[:NAMES, None] % STATES
    return 8 * ((row + move // 8) % 4) + (column + move) % 8


@cache
def facts() -> Symbols:
    """Return every fact as entity (2), relation, answer (4), by rank: shape (16384, 7)."""
    random = np.random.default_rng([WORLD, 2])
    key = random.permutation(FACTS)
    entity, relation = divmod(key, RELATIONS)
    first, second = divmod(entity, STATES)
    rules = random.integers(NAMES, size=(RULES, FACT_ANSWER, STATES))
    places = np.arange(FACT_ANSWER)
    part = np.where(places % 2, second[:, None], first[:, None])
    by_rule = rules[relation[:, None] % RULES, places, part]
    by_chance = random.integers(NAMES, size=by_rule.shape)
    answers = np.where(random.random((FACTS, 1)) < RULE_SHARE, by_rule, by_chance)
    return np.column_stack([first, second, relation, answers]).astype(np.uint8)


def is_tested(fact: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Tell which facts are asked about; they never occur in the question format's stream."""
    return _remainder(np.asarray(fact, dtype=np.uint64) + (1 << 60), TESTED) == 0


def is_held_out(family: Any, content: Indices) -> npt.NDArray[np.bool_]:
    """Tell which prompts are held out.

    Parameters
    ----------
    family : int or ndarray of int, shape (n,)
        Place in ``FAMILIES``.
    content : ndarray of int, shape (n, 8)
        Mode, six events and start; of recall the two facts' ranks and zeros.
    """
    packed = np.asarray(family, dtype=np.uint64)
    for column in content.T:
        packed = _mixed(packed * np.uint64(FACTS) + column.astype(np.uint64))
    return _remainder(packed, HELD_OUT) == 0


def _remainder(values: npt.NDArray[np.uint64], divisor: int) -> npt.NDArray[np.uint64]:
    return _mixed(values) % np.uint64(divisor)


def _mixed(x: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Mix the bits of numbers: the finalizer of splitmix64 (Steele et al. 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


# -------------------------------------------------------------------------------------- the stream


def documents(seed: int, first: int, n: int, *, asked: float = ASKED_SHARE) -> Symbols:
    """Return documents ``first`` to ``first + n - 1`` of a stream.

    Parameters
    ----------
    seed : int
        Names the stream: 0 to 2**63.
    first, n : int
        A document depends on the seed and its position only.
    asked : float
        Share of documents in the question format; 1 gives the stream of fine-tuning.

    Returns
    -------
    ndarray of uint8, shape (n, 16)

    Examples
    --------
    >>> bool((documents(0, 3, 1) == documents(0, 0, 9)[3]).all())
    True
    """
    uniform = _uniforms(seed, first, n)
    family = (uniform[:, 0] * len(FAMILIES)).astype(np.int64)
    is_asked = uniform[:, 1] < asked
    content = _contents(family, uniform[:, 2:11])
    _leave_held_out(family, content, is_asked)
    return _written(family, content, is_asked)


def _uniforms(seed: int, first: int, n: int) -> npt.NDArray[np.float64]:
    blocks = _WORDS // 4
    generator = np.random.Philox(key=[seed, WORLD], counter=first * blocks)
    raw = generator.random_raw(n * _WORDS).reshape(n, _WORDS)
    return (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _zipf(uniform: npt.NDArray[np.float64], n: int) -> Indices:
    """Turn uniforms into ranks 0 to n - 1, rank r with chance log(1 + 1/(r + 1)) / log(n + 1)."""
    return np.minimum(np.exp(uniform * np.log(n + 1)).astype(np.int64) - 1, n - 1)


def _contents(family: Indices, uniform: npt.NDArray[np.float64]) -> Indices:
    content = np.empty((len(family), 8), dtype=np.int64)
    hardest = np.sqrt(uniform[:, 8:])  # of a document: its names' ranks are below 59^hardest
    content[:, :7] = _zipf(uniform[:, :7] * hardest, NAMES)
    content[:, 7] = uniform[:, 7] * STATES
    is_recall = family == 0
    content[is_recall, :2] = _zipf((uniform[:, :2] * hardest)[is_recall], FACTS)
    content[is_recall, 2:] = 0
    return content


def _leave_held_out(family: Indices, content: Indices, is_asked: npt.NDArray[np.bool_]) -> None:
    """Replace held-out prompts by the next one: another start, another second fact."""
    place, size = np.where(family == 0, 1, 7), np.where(family == 0, FACTS, STATES)
    asks_fact = (family == 0) & is_asked
    left = np.arange(len(family))
    while True:
        bad = is_held_out(family[left], content[left])
        bad |= asks_fact[left] & is_tested(content[left, 1])
        left = left[bad]
        if not len(left):
            return
        content[left, place[left]] += 1
        content[left, place[left]] %= size[left]


def _written(family: Indices, content: Indices, is_asked: npt.NDArray[np.bool_]) -> Symbols:
    """Write contents as symbols."""
    text = np.full((len(family), LENGTH), END, dtype=np.uint8)
    text[:, 0] = np.asarray(MARKER)[family]
    is_recall = family == 0
    two = content[is_recall, :2]
    text[is_recall, 1:15] = facts()[two].reshape(len(two), 14)
    others = ~is_recall
    mode, events, state = np.split(content[others], [1, 7], axis=1)
    text[others, 1:2], text[others, 2:8], text[others, 8:9] = mode, events, state
    steps = machine_tables()[family[others, None] - 1, mode, events]  # rows: the steps' mappings
    now = state[:, 0]
    rows = np.arange(len(now))
    for step in range(STEPS):
        now = steps[rows, step, now]
        text[np.flatnonzero(others), 9 + step] = now
    if is_asked.any():
        text[is_asked] = _asked(text[is_asked])
    return text


def _asked(text: Symbols) -> Symbols:
    """Write documents in the question format.

    ``?``, then the same with the marker moved: behind the first event, or amid the entity. Of
    recall only the second fact is asked.
    """
    asked = np.full_like(text, END)
    asked[:, 0] = ASKED
    is_recall = text[:, 0] == MARKER[0]
    asked[is_recall, 1:9] = text[is_recall][:, [8, 0, 9, 10, 11, 12, 13, 14]]
    asked[~is_recall, 1:16] = text[~is_recall][:, [1, 2, 0, *range(3, 15)]]
    return asked


# ----------------------------------------------------------------------------------- the questions


@cache
def questions(family: str, *, asked: bool = False) -> Questions:
    """Return a family's 512 held-out questions, drawn with the stream's own frequencies.

    Parameters
    ----------
    family : str
        One of ``FAMILIES``.
    asked : bool
        In the question format, the same questions; of recall, the same facts.

    Raises
    ------
    DataError
        For an unknown family.
    """
    require_one_of(family, FAMILIES, "family")
    content = _asked_contents(family)
    families = np.full(len(content), FAMILIES.index(family))
    text = _written(families, content, np.full(len(content), asked))
    if family == "recall":
        return Questions(text, 5 if asked else 11, FACT_ANSWER)
    return Questions(text, 10 if asked else 9, STEPS)


@cache
def _asked_contents(family: str) -> Indices:
    """Draw what a family's questions are about."""
    number = FAMILIES.index(family)
    uniform = _uniforms(2**41 + number, 0, 2**18)
    content = _contents(np.full(len(uniform), number), uniform[:, 2:11])
    if family == "recall":  # each tested fact once, after the next fact with which it is held out
        content = content[is_tested(content[:, 1])]
        content = content[np.sort(np.unique(content[:, 1], return_index=True)[1])]
        while not (good := is_held_out(number, content)).all():
            content[~good, 0] = (content[~good, 0] + 1) % FACTS
    else:
        content = content[is_held_out(number, content)]
        content = content[np.sort(np.unique(content, axis=0, return_index=True)[1])]
    return content[:QUESTIONS]


def guess_level(family: str, k: int = 1, n_documents: int = 2**16) -> float:
    """Return the pass@k of who answers by what usually follows what, and reads no question.

    The guesser knows how often each symbol follows another in a family's answers, the prompt's
    last symbol included, and nothing else. Whoever answers evenly is right once in 58^4 or 32^6.
    """
    return float(-np.expm1(k * np.log1p(-_guess_chances(family, n_documents))).mean())


@cache
def _guess_chances(family: str, n_documents: int) -> FloatArray:
    """Return the guesser's chance at each question."""
    asked = questions(family)
    stream = documents(VALIDATION_SEED + 1, 0, n_documents, asked=0)
    stream = stream[stream[:, 0] == MARKER[FAMILIES.index(family)]]
    chance = np.ones(len(asked.documents))
    for place in range(asked.start, asked.start + asked.length):
        counts = np.zeros((N_SYMBOLS, N_SYMBOLS))
        np.add.at(counts, (stream[:, place - 1], stream[:, place]), 1)
        counts += counts.sum(axis=0) / counts.sum()  # where a pair is rare, the symbol's own share
        shares = counts / counts.sum(axis=1, keepdims=True)
        chance *= shares[asked.documents[:, place - 1], asked.documents[:, place]]
    return chance


def corpus_hash() -> str:
    """Return the sha256 of fixed slices of the stream and of all questions: the frozen language."""
    digest = hashlib.sha256()
    for seed, first in ((0, 0), (1, 2**20), (VALIDATION_SEED, 0)):
        digest.update(documents(seed, first, 4096).tobytes())
    digest.update(documents(0, 0, 4096, asked=1).tobytes())
    for family in FAMILIES:
        for asked in (False, True):
            digest.update(questions(family, asked=asked).documents.tobytes())
    return digest.hexdigest()


def example(family: str, number: int = 0, *, asked: bool = False) -> str:
    """Return a held-out question as text, prompt and answer.

    Examples
    --------
    >>> prompt, answer = example("causal").split(" -> ")
    >>> len(prompt), len(answer)
    (9, 6)
    """
    found = questions(family, asked=asked)
    text = "".join(ALPHABET[symbol] for symbol in found.documents[number])
    end = found.start + found.length
    return f"{text[: found.start]} -> {text[found.start : end]}"


def describe() -> list[dict[str, Any]]:
    """Return one row a family: an example, the answers possible, the guess level."""
    return [
        {
            "family": family,
            "example": example(family),
            "asked": example(family, asked=True),
            "answers": NAMES**FACT_ANSWER if family == "recall" else STATES**STEPS,
            "guess_level": guess_level(family),
        }
        for family in FAMILIES
    ]
