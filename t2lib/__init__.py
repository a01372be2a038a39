"""Train-to-test (T2) scaling laws: fit them, check them, and plan with them.

Every public name is listed in ``__init__.pyi`` and imported at its first use: a command that only
reads a file need not wait for what fits and draws.
"""

import sys
from types import ModuleType

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
from t2lib.allocate import Allocation, allocate, frontier, isoflop_profile
from t2lib.architecture import Architecture, ArchitectureFamily
from t2lib.cheapest import cheapest
from t2lib.cost import CostModel, Hardware
from t2lib.curves import load_curves, load_histograms, load_published
from t2lib.datawall import DataWall
from t2lib.first_order import first_order_optimum
from t2lib.fit import Fit, fit_additive, fit_at_each_k, fit_chinchilla, fit_interaction
from t2lib.fit_beta import (
    fit_beta,
    fit_beta_consistent,
    fit_beta_consistent_counts,
    fit_beta_regression,
    fit_beta_regression_counts,
)
from t2lib.isoflop import at_equal_compute, envelope, isoflop_parabolas, power_law
from t2lib.laws import (
    AdditiveLaw,
    BetaConsistentLaw,
    BetaRegressionLaw,
    Chinchilla,
    InteractionLaw,
    LawsAtEachK,
)
from t2lib.layouts import load_accuracies, load_points, load_questions
from t2lib.passk import (
    beta_mean_nll,
    beta_neg_log_pass,
    beta_pass_at_k,
    neg_log_pass_from_nll,
    pass_at_k,
    pass_at_k_from_nll,
)
from t2lib.region import AllocationRegion, allocation_region
from t2lib.registry import FetchError, Recorded, at_hand, fetch, recorded
from t2lib.schemas import DataError, read_table, validate
from t2lib.uncertainty import bca_interval, bootstrap, jackknife, percentile_interval

__all__ = [
    "AdditiveLaw",
    "Allocation",
    "AllocationRegion",
    "Architecture",
    "ArchitectureFamily",
    "BetaConsistentLaw",
    "BetaRegressionLaw",
    "Chinchilla",
    "CostModel",
    "DataError",
    "DataWall",
    "FetchError",
    "Fit",
    "Hardware",
    "InteractionLaw",
    "LawsAtEachK",
    "Recorded",
    "allocate",
    "allocation_region",
    "at_equal_compute",
    "at_hand",
    "bca_interval",
    "beta_mean_nll",
    "beta_neg_log_pass",
    "beta_pass_at_k",
    "bootstrap",
    "cheapest",
    "envelope",
    "fetch",
    "first_order_optimum",
    "fit_additive",
    "fit_at_each_k",
    "fit_beta",
    "fit_beta_consistent",
    "fit_beta_consistent_counts",
    "fit_beta_regression",
    "fit_beta_regression_counts",
    "fit_chinchilla",
    "fit_interaction",
    "frontier",
    "isoflop_parabolas",
    "isoflop_profile",
    "jackknife",
    "load_accuracies",
    "load_curves",
    "load_histograms",
    "load_points",
    "load_published",
    "load_questions",
    "neg_log_pass_from_nll",
    "pass_at_k",
    "pass_at_k_from_nll",
    "percentile_interval",
    "plots",
    "power_law",
    "read_table",
    "recorded",
    "validate",
]


class _Package(ModuleType):
    """Keep ``t2lib.allocate`` the function when the module of that name is imported."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (isinstance(value, ModuleType) and name in __all__ and name != "plots"):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
