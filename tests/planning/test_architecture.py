"""Parameter counts: against published models, and families that meet the N they were asked for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from t2lib.planning.architecture import COUNTS, Architecture, ArchitectureFamily

LLAMA = {"layers": 32, "width": 4096, "heads": 32, "ffn_width": 11008, "vocabulary": 32_000}


def test_llama_2_7b_has_its_published_parameters():
    # Model card: 6,738,415,616.
    assert Architecture(**LLAMA, kv_heads=32).parameters() == 6_738_415_616


def test_mistral_7b_has_its_published_parameters():
    # Grouped queries: 8 heads of keys and values for 32 of queries. Model card: 7,241,732,096.
    sizes = LLAMA | {"ffn_width": 14336}
    assert Architecture(**sizes, kv_heads=8).parameters() == 7_241_732_096


@pytest.mark.parametrize(
    ("layers", "width", "vocabulary", "total", "without_embeddings"),
    [(6, 512, 50304, 70_426_624, 18_915_328), (32, 4096, 50432, 6_857_302_016, 6_444_163_072)],
)
def test_pythia_has_its_published_parameters(layers, width, vocabulary, total, without_embeddings):
    # Biderman et al. 2023, table of model sizes: Pythia-70M and Pythia-6.9B; biases, no gate.
    model = Architecture(
        layers=layers,
        width=width,
        heads=8,
        kv_heads=8,
        ffn_width=4 * width,
        vocabulary=vocabulary,
        gated=False,
        biases=True,
    )
    assert model.parameters() == total
    assert model.parameters("non_embedding") == without_embeddings


def test_mixtral_has_its_published_parameters():
    # 8 experts, 2 active. Jiang et al. 2024: 47 B parameters, of which a token uses 13 B.
    sizes = LLAMA | {"ffn_width": 14336}
    mixtral = Architecture(**sizes, kv_heads=8, experts=8, active_experts=2)
    assert mixtral.parameters() == 46_702_792_704
    assert mixtral.parameters("active") == pytest.approx(12.9e9, rel=0.002)
    assert mixtral.parameters("active_non_embedding") < mixtral.parameters("active")


def test_a_tied_head_is_counted_once():
    apart = Architecture(**LLAMA, kv_heads=32)
    tied = Architecture(**LLAMA, kv_heads=32, tied=True)
    assert apart.parameters() - tied.parameters() == 4096 * 32_000
    assert apart.parameters("non_embedding") == tied.parameters("non_embedding")
    # The head is multiplied with whether it is shared or not.
    assert apart.head_weights == tied.head_weights


def test_head_width_may_differ_from_width_over_heads():
    # Gemma-7B: 16 heads of 256 on a width of 3072. Model card: 8,537,680,896, head tied.
    gemma = Architecture(
        layers=28,
        width=3072,
        heads=16,
        kv_heads=16,
        ffn_width=24576,
        vocabulary=256_000,
        tied=True,
        head_width=256,
    )
    assert gemma.parameters() == 8_537_680_896


@pytest.mark.parametrize("count", COUNTS)
@given(
    log_n=st.floats(4, 13),
    group=st.integers(1, 8),
    experts=st.integers(1, 16),
    tied=st.booleans(),
    gated=st.booleans(),
)
def test_a_family_meets_the_size_asked_for(count, log_n, group, experts, tied, gated):
    family = ArchitectureFamily(
        group=group, experts=experts, active_experts=1, tied=tied, gated=gated, count=count
    )
    N = np.array([10**log_n, 2 * 10**log_n])
    np.testing.assert_allclose(family(N).parameters(count), N, rtol=1e-12)


def test_a_whole_architecture_can_be_built_and_is_near_the_size():
    N = np.geomspace(3e8, 1e12, 40)
    model = ArchitectureFamily(group=8)(N, whole=True)
    for size in (model.layers, model.width, model.heads, model.kv_heads, model.ffn_width):
        assert np.all(size == np.round(size)) and np.all(size >= 1)
    np.testing.assert_array_equal(model.heads / model.kv_heads, 8)
    np.testing.assert_array_equal(model.heads * model.head_width, model.width)
    assert np.all(np.abs(np.log(model.parameters() / N)) < np.log(2))
    assert np.abs(np.log(model.parameters() / N))[N > 1e11].max() < 0.15


def test_a_tiny_whole_architecture_still_has_a_layer_and_a_head():
    model = ArchitectureFamily(vocabulary=256)(1e4, whole=True)
    assert (model.layers, model.heads) == (1, 1)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"layers": 0}, "layers is 0: must be positive and finite"),
        ({"width": np.nan}, "width is nan"),
        ({"heads": -1}, "heads is -1"),
        ({"heads": [8, 0]}, r"heads\[1\] is 0"),
        ({"vocabulary": np.inf}, "vocabulary is inf"),
        ({"kv_heads": 64}, "kv_heads is 64.0: must be at most heads, 32.0"),
        ({"active_experts": 2}, "active_experts is 2.0: must be at most experts, 1.0"),
    ],
)
def test_sizes_that_make_no_model_are_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        Architecture(**(LLAMA | {"kv_heads": 32} | sizes))


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"aspect_ratio": 0}, "aspect_ratio is 0"),
        ({"group": 0.5}, "group is 0.5: must be at least 1"),
        ({"experts": 2, "active_experts": 3}, "active_experts is 3: must be at most experts, 2"),
        ({"count": "some"}, "count is 'some': must be one of all, non_embedding, active"),
    ],
)
def test_rules_that_make_no_family_are_refused(rule, message):
    with pytest.raises(ValueError, match=message):
        ArchitectureFamily(**rule)


def test_other_counts_and_sizes_are_refused():
    with pytest.raises(ValueError, match="count is 'some'"):
        ArchitectureFamily()(1e9).parameters("some")
    with pytest.raises(ValueError, match=r"N\[1\] is -1: must be positive"):
        ArchitectureFamily()([1e9, -1])
