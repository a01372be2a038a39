"""The model against numpy and finite differences, the samplers against each other."""

import jax
import numpy as np
import pytest
from scipy import stats

from t2lib.testbed import clock, corpus, model, sample, score
from t2lib.testbed.presets import n_params, rate_rule
from t2lib.testbed.train import loss

forward = jax.jit(model.forward)


def numpy_logits(weights, symbols):
    """Compute one document's logits, position by position and head by head, in float64."""
    w = {name: np.asarray(array, dtype=float) for name, array in weights.items()}
    width, n_heads = len(w["norm"]), model.heads(len(w["norm"]))
    size = width // n_heads

    def normed(x, gain):
        return x / np.sqrt((x**2).mean() + 1e-6) * gain

    def turned(x, position):
        angle = position * 0.01 ** (np.arange(size // 2) / (size // 2))
        pairs = (x[: size // 2] + 1j * x[size // 2 :]) * np.exp(1j * angle)
        return np.concatenate([pairs.real, pairs.imag])

    xs = [w["embedding"][symbol] for symbol in symbols]
    for layer in range(model.LAYERS):
        keys, values, after = [], [], []
        for position, x in enumerate(xs):
            q, k, v = np.split(normed(x, w[f"{layer}.norm_attention"]) @ w[f"{layer}.qkv"], 3)
            part = [slice(size * h, size * (h + 1)) for h in range(n_heads)]
            keys.append([turned(k[p], position) for p in part])
            values.append([v[p] for p in part])
            mixed = []
            for h, p in enumerate(part):
                scores = np.array([key[h] @ turned(q[p], position) for key in keys]) / size**0.5
                shares = np.exp(scores) / np.exp(scores).sum()
                mixed.append(sum(s * v[h] for s, v in zip(shares, values, strict=True)))
            x = x + np.concatenate(mixed) @ w[f"{layer}.out"]
            y = normed(x, w[f"{layer}.norm_mlp"]) @ w[f"{layer}.up"]
            gelu = 0.5 * y * (1 + np.tanh((2 / np.pi) ** 0.5 * (y + 0.044715 * y**3)))
            after.append(x + gelu @ w[f"{layer}.down"])
        xs = after
    return np.array([normed(x, w["norm"]) @ w["head"] for x in xs])


@pytest.mark.parametrize("width", [8, 48, 64])
def test_the_model_is_the_one_in_numpy(width):
    weights = model.initial(width, 1)
    assert sum(a.size for a in weights.values()) - 64 * width == n_params(width)
    text = corpus.documents(0, 0, 2)
    logits, _ = forward(weights, text)
    for found, one in zip(logits, text, strict=True):
        np.testing.assert_allclose(found, numpy_logits(weights, one), atol=2e-4)


def test_what_follows_from_the_width():
    widths = (8, 12, 16, 24, 32, 48, 64, 128, 256)
    assert [model.heads(width) for width in widths] == [1, 1, 1, 1, 2, 3, 2, 4, 8]
    np.testing.assert_allclose([rate_rule(width) for width in (4, 16, 64)], [0.02, 0.01, 0.005])


def test_gradients_are_finite_differences():
    """In float64, along a random direction for every array of weights."""
    text = corpus.documents(0, 0, 8)
    with jax.enable_x64(True):
        weights = jax.tree.map(lambda a: a.astype("float64"), model.initial(8, 0))
        gradient = jax.jit(jax.grad(loss))(weights, text)
        value = jax.jit(loss)
        random = np.random.default_rng(0)
        for name, array in weights.items():
            step = 1e-5 * random.standard_normal(array.shape)
            up, down = (value({**weights, name: array + s * step}, text) for s in (1, -1))
            expected = float((gradient[name] * step).sum())
            assert float(up - down) / 2 == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_the_cache_changes_nothing(weights):
    text = corpus.documents(0, 0, 4)
    whole, _ = forward(weights, text)
    _, cache = forward(weights, text[:, :9])
    rest, _ = forward(weights, text[:, 9:], cache)
    np.testing.assert_allclose(rest, whole[:, 9:], atol=1e-5)
    asked = {"length": 3, "n": 50}
    key = jax.random.key(0)
    both = [sample.drawn(weights, text[:, :5], key, **asked, use_cache=u) for u in (True, False)]
    np.testing.assert_array_equal(*both)


def test_likelihoods_are_those_of_numpy(weights):
    text, start, length = corpus.questions("causal")
    logits = numpy_logits(weights, text[0])
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    places = np.arange(start, start + length)
    expected = -log_p[places - 1, text[0, places]].sum()
    assert score.answer_nll(weights)[2, 0] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_samplers_have_one_distribution(weights, temperature):
    """First symbols of one by one, of the tree and of the tree cut at the first wrong symbol."""
    prompts = corpus.questions("spatial").documents[:2, :9]
    n, options = 20_000, {"temperature": temperature}
    drawn = np.asarray(sample.drawn(weights, prompts, jax.random.key(1), length=2, n=n, **options))
    random = np.random.default_rng(2)
    owner, symbols, counts = sample.tree(weights, prompts, 2, n, random, **options)
    assert (np.bincount(owner, weights=counts) == n).all()
    for prompt in range(2):
        mine = owner == prompt
        pairs = np.zeros((2, 64 * 64))
        pairs[0] = np.bincount(drawn[prompt] @ [64, 1], minlength=64 * 64)
        np.add.at(pairs[1], symbols[mine] @ np.array([64, 1]), counts[mine])
        often = pairs.sum(axis=0) > 20
        table = np.column_stack([pairs[:, often], pairs[:, ~often].sum(axis=1)])
        assert stats.chi2_contingency(table).pvalue > 1e-3
        place = pairs.sum(axis=0).argmax()
        right = np.array([divmod(place, 64)] * 2, dtype=np.uint8)
        cut_owner, _, cut = sample.tree(weights, prompts, 2, n, random, answers=right, **options)
        got = cut[cut_owner == prompt].sum()
        p = pairs[:, place].sum() / (2 * n)
        assert abs(got - n * p) < 4.5 * (1.5 * n * p * (1 - p)) ** 0.5


def test_right_counts_follow_the_likelihood(weights):
    """Over 512 questions, with an answer that is not too rare at temperature 1."""
    asked = corpus.questions("recall")
    random = np.random.default_rng(0)
    n = 10**5
    likely = corpus.Questions(asked.documents, asked.start, 1)  # the answer's first symbol
    log_p = score._log_p(weights, asked.documents)[:, asked.start - 1]
    p = np.exp(np.asarray(log_p, dtype=float))
    counts = sample.right_counts(weights, likely, n, random)
    z = (counts - n * p) / np.sqrt(n * p * (1 - p))
    assert abs(z.mean()) < 0.2
    assert 0.85 < z.std() < 1.15


def test_the_clock_counts_what_passes():
    """A tree of one: the tokens that go through the model, counted one by one."""
    P, T, k = 5, 4, 3
    N = n_params(16)
    cached, bare = (clock.counted(16, P, T, k, cache=on) for on in (True, False))
    assert cached["passes"] == 2 * N * (P + k * (T - 1))
    assert bare["passes"] == 2 * N * (P + k * sum(P + t for t in range(1, T)))
    assert cached["formula"] == 2 * N * (P + k * T)
    assert bare["attention"] > bare["passes"] > cached["passes"]
    found = clock.timed((8,), (3,), (2,), (2,), repeats=1)
    assert [row["seconds"] > 0 for row in found["rows"]] == [True, True]
    speeds = clock.speeds((8,), repeats=1)[0]
    assert speeds["cache"] > 0 and speeds["no_cache"] > 0
    assert speeds["tree"] > speeds["cache"]
