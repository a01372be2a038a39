"""The cost model against a transformer whose FLOPs torch counts, product by product.

Needs torch (the extra `flops`); `make flops` installs it and runs this. Tensors live on the meta
device: they have shapes and no memory.
"""

import re
import tomllib
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import ROOT
from packaging.requirements import Requirement

import t2lib as t2


def test_the_lock_holds_what_the_extra_asks_for() -> None:
    """Exact and hashed, in agreement with the book's own lock, and without addresses."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    text = (ROOT / "requirements-flops.lock").read_text()
    entry = r"[\w.-]+==[\w.]+( ; [^\\\n]+)?( \\\n    --hash=sha256:[0-9a-f]{64})+\n(    #.*\n)*"
    assert re.fullmatch(f"({entry})+", text)
    assert not any(sign in text for sign in ["://", " @ ", "-i ", "-f "])
    pins = re.findall(r"^([\w.-]+)==([\w.]+)", text, re.M)
    for wanted in [*project["dependencies"], *project["optional-dependencies"]["flops"]]:
        requirement = Requirement(wanted)
        versions = [version for name, version in pins if name == requirement.name]
        assert versions and all(requirement.specifier.contains(v) for v in versions), wanted
    ours = re.findall(r"^([\w.-]+)==([\w.]+)", (ROOT / "requirements.lock").read_text(), re.M)
    shared = {name for name, _ in ours} & {name for name, _ in pins}
    assert {pin for pin in pins if pin[0] in shared} <= set(ours)


@pytest.fixture(scope="module")
def counter() -> SimpleNamespace:
    """Return torch and a function that counts the FLOPs of a call."""
    torch = pytest.importorskip("torch")
    flop_counter = pytest.importorskip("torch.utils.flop_counter")

    def count(call) -> int:
        with flop_counter.FlopCounterMode(display=False) as counted:
            call()
        return counted.get_total_flops()

    return SimpleNamespace(torch=torch, count=count)


def transformer(torch, sizes: t2.Architecture, device: str = "meta"):
    """Return a decoder-only transformer with these sizes; caches are lists of (keys, values)."""
    nn, functional = torch.nn, torch.nn.functional
    whole = {
        name: int(getattr(sizes, name))
        for name in ("layers", "width", "heads", "kv_heads", "ffn_width", "vocabulary")
    }
    size, head_width = SimpleNamespace(**whole), int(sizes.head_width)
    options = {"bias": sizes.biases, "device": device}

    class FeedForward(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.up = nn.Linear(size.width, size.ffn_width, **options)
            self.down = nn.Linear(size.ffn_width, size.width, **options)
            if sizes.gated:
                self.gate = nn.Linear(size.width, size.ffn_width, **options)

        def forward(self, x):
            hidden = self.up(x)
            return self.down(hidden * functional.silu(self.gate(x)) if sizes.gated else hidden)

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.before, self.between = (
                nn.LayerNorm(size.width, **options),
                nn.LayerNorm(size.width, **options),
            )
            self.q = nn.Linear(size.width, size.heads * head_width, **options)
            self.k = nn.Linear(size.width, size.kv_heads * head_width, **options)
            self.v = nn.Linear(size.width, size.kv_heads * head_width, **options)
            self.out = nn.Linear(size.heads * head_width, size.width, **options)
            self.experts = nn.ModuleList(FeedForward() for _ in range(int(sizes.experts)))
            if sizes.experts > 1:
                self.router = nn.Linear(size.width, int(sizes.experts), **options)

        def split(self, x, heads):
            return x.unflatten(-1, (heads, head_width)).transpose(1, 2)

        def forward(self, x, cache):
            seen = self.before(x)
            q = self.split(self.q(seen), size.heads)
            k, v = (self.split(part(seen), size.kv_heads) for part in (self.k, self.v))
            if cache:
                k, v = torch.cat([cache[0], k], dim=2), torch.cat([cache[1], v], dim=2)
            wide = [part.repeat_interleave(size.heads // size.kv_heads, dim=1) for part in (k, v)]
            # Products only: a mask changes no count, since the whole square is computed.
            scores = torch.matmul(q, wide[0].transpose(2, 3)).softmax(dim=-1)
            x = x + self.out(torch.matmul(scores, wide[1]).transpose(1, 2).flatten(2))
            seen = self.between(x)
            visited = [expert(seen) for expert in self.experts[: int(sizes.active_experts)]]
            if sizes.experts > 1:
                share = self.router(seen).softmax(dim=-1)
                visited = [y * share[..., i : i + 1] for i, y in enumerate(visited)]
            return x + sum(visited), (k, v)

    class Transformer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(size.vocabulary, size.width, device=device)
            self.blocks = nn.ModuleList(Block() for _ in range(size.layers))
            self.norm = nn.LayerNorm(size.width, **options)
            self.head = nn.Linear(size.width, size.vocabulary, bias=False, device=device)
            if sizes.tied:
                self.head.weight = self.embedding.weight

        def forward(self, tokens, caches=None, logits=True):
            x, kept = self.embedding(tokens), []
            for i, block in enumerate(self.blocks):
                x, cache = block(x, caches[i] if caches else None)
                kept.append(cache)
            return (self.head(self.norm(x)) if logits else None), kept

    return Transformer()


SIZES = {
    "plain": {"layers": 3, "width": 64, "heads": 4, "kv_heads": 4, "ffn_width": 256},
    "grouped, gated": {"layers": 5, "width": 96, "heads": 6, "kv_heads": 2, "ffn_width": 200},
    "wide heads": {"layers": 2, "width": 48, "heads": 4, "kv_heads": 1, "ffn_width": 130},
    "experts": {"layers": 2, "width": 64, "heads": 4, "kv_heads": 2, "ffn_width": 100},
}
MORE = {
    "plain": {"gated": False, "biases": True},
    "grouped, gated": {"tied": True},
    "wide heads": {"head_width": 32},
    "experts": {"experts": 6, "active_experts": 2},
}


@pytest.fixture(params=SIZES)
def sizes(request) -> t2.Architecture:
    """Return the sizes of one small transformer."""
    return t2.Architecture(vocabulary=1000, **SIZES[request.param], **MORE[request.param])


def test_parameters_are_counted_as_torch_does(counter, sizes) -> None:
    """With RMS norms' single vectors where there are no biases."""
    model = transformer(counter.torch, sizes)
    assert sum(p.numel() for p in model.parameters()) == sizes.parameters()


def test_training_is_three_forward_passes(counter, sizes) -> None:
    """Forward and backward over two batches of whole sequences, the mask not exploited."""
    model, S = transformer(counter.torch, sizes), 37
    tokens = counter.torch.zeros((4, S), dtype=counter.torch.long, device="meta")
    counted = counter.count(lambda: model(tokens)[0].sum().backward())
    cost = t2.CostModel(architecture=sizes, sequence_length=S, causal=False)
    assert counted == pytest.approx(float(cost.train_flops(sizes.parameters(), 4 * S)), rel=1e-12)


@pytest.mark.parametrize("shared", [True, False])
def test_a_query_costs_what_torch_counts(counter, sizes, shared) -> None:
    """Read the prompt once or k times, then write k answers token by token from the cache."""
    P, T, k = 29, 6, 3
    model, torch = transformer(counter.torch, sizes), counter.torch

    def answer_query() -> None:
        rows = 1 if shared else k
        prompt = torch.zeros((rows, P), dtype=torch.long, device="meta")
        with torch.no_grad():
            caches = model(prompt, logits=False)[1]
            caches = [tuple(part.expand(k, -1, -1, -1) for part in cache) for cache in caches]
            for _ in range(T):
                token = torch.zeros((k, 1), dtype=torch.long, device="meta")
                caches = model(token, caches)[1]

    cost = t2.CostModel(P, T, shared, sizes, causal=False)
    counted = counter.count(answer_query)
    assert counted == pytest.approx(float(cost.query_flops(sizes.parameters(), k)), rel=1e-12)


def test_the_cache_holds_what_the_formula_says(counter, sizes) -> None:
    """Keys and values of every token, in half precision."""
    model, torch = transformer(counter.torch, sizes), counter.torch
    with torch.no_grad():
        caches = model(torch.zeros((3, 11), dtype=torch.long, device="meta"), logits=False)[1]
    values = sum(part.numel() for cache in caches for part in cache)
    cost = t2.CostModel(5, 6, shared_cache=False, architecture=sizes)
    assert float(cost.cache_bytes(sizes.parameters(), 3)) == 2 * values


def test_six_n_d_is_near_what_is_counted(counter) -> None:
    """From 100 M to 7 B parameters the paper's 6 N D is within 15 % of the count."""
    family = t2.ArchitectureFamily(head_width=64)
    ratios = []
    for N in (1e8, 1e9, 7e9):
        sizes = family(N, whole=True)
        model, S = transformer(counter.torch, sizes), 2048
        tokens = counter.torch.zeros((1, S), dtype=counter.torch.long, device="meta")
        counted = counter.count(lambda m=model, t=tokens: m(t)[0].sum().backward())
        ratios.append(counted / float(t2.CostModel().train_flops(sizes.parameters(), S)))
    print("counted FLOPs over 6 N D:", np.round(ratios, 3))
    assert np.all(np.abs(np.array(ratios) - 1) < 0.15)
