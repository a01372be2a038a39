"""A name that is not in its table is refused, wherever it is given."""

import pytest

import t2lib as t2
from t2lib.data.schemas import validate
from t2lib.fitting.table import law_row, parameter_names
from t2lib.studies.specification_curve import specifications
from t2lib.studies.suite_fits import fit_law
from t2lib.studies.suite_tables import label

CURVES = t2.load_curves("gemstones").query("task == 'arce' and k <= 4").head(60)
CALLS = {
    "fit": lambda: t2.fit("Nope", CURVES),
    "fit_law": lambda: fit_law("Nope", {"curves": CURVES}),
    "fit_suite": lambda: t2.fit_suite(CURVES, tasks=["Nope"]),
    "law_of": lambda: t2.law_of("Nope", {}),
    "law_row": lambda: law_row("Nope"),
    "label": lambda: label("Nope"),
    "parameter_names": lambda: parameter_names("Nope"),
    "specifications": lambda: specifications(CURVES, law=["Nope"]),
    "load_curves": lambda: t2.load_curves("Nope"),
    "load_histograms": lambda: t2.load_histograms("Nope"),
    "load_questions, suite": lambda: t2.load_questions("Nope", "arce"),
    "load_questions, task": lambda: t2.load_questions("gemstones", "Nope"),
    "load_points": lambda: t2.load_points("Nope"),
    "load_published": lambda: t2.load_published("Nope"),
    "validate": lambda: validate(CURVES, "Nope"),
}


@pytest.mark.parametrize("call", CALLS)
def test_unknown_names_are_refused(call):
    with pytest.raises(ValueError, match="'Nope'"):
        CALLS[call]()


def test_unknown_keywords_of_a_plan_are_refused():
    law = t2.Chinchilla(1.69, 406.4, 410.7, 0.34, 0.28)
    asked = {"train_flops": 1e20, "inferense_flops": 1e9}
    for function, more in (
        (t2.allocate, {}),
        (t2.frontier, {}),
        (t2.isoflop_profile, {"N": 1e9}),
        (t2.allocation_region, {"draws": [law]}),
    ):
        with pytest.raises(TypeError, match="no keyword 'inferense_flops': it has train_flops"):
            function(law, **more, **asked)
    with pytest.raises(TypeError, match="no keyword 'nope'"):
        t2.cheapest(law, target=2.0, nope=1)
    for name in ("n_range", "whole_k"):
        with pytest.raises(TypeError, match=f"isoflop_profile takes no {name}"):
            t2.isoflop_profile(law, N=1e9, train_flops=1e20, **{name: None})
