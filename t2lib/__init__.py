"""Train-to-test (T2) scaling laws: fit them, check them, and plan with them."""

from typing import Any

from t2lib.allocate import Allocation, allocate, frontier, isoflop_profile
from t2lib.architecture import Architecture, ArchitectureFamily
from t2lib.batch import AdditiveRefit, ChinchillaRefit
from t2lib.calibration import Study, coverage, intervals, law_of
from t2lib.cheapest import cheapest
from t2lib.cost import CostModel, Hardware, PricedCost
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
from t2lib.importers import ImportedResults, read_results
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
from t2lib.parallel import ClusterError
from t2lib.passk import (
    beta_mean_nll,
    beta_neg_log_pass,
    beta_pass_at_k,
    neg_log_pass_from_nll,
    pass_at_k,
    pass_at_k_from_nll,
)
from t2lib.posterior import Posterior, posterior
from t2lib.problem import intraclass_correlation
from t2lib.profiles import Profile, profile, region
from t2lib.registry import FetchError, Recorded, at_hand, fetch, recorded
from t2lib.runs import Run, read_runs
from t2lib.schemas import DataError, read_table, validate
from t2lib.simulate import Noise, simulate, t2_grid
from t2lib.specifications import influence, specification_spread, specifications
from t2lib.suite import SuiteFit, fit_suite
from t2lib.uncertainty import bca_interval, bootstrap, jackknife, percentile_interval

__all__ = [
    "AdditiveLaw",
    "AdditiveRefit",
    "Allocation",
    "Architecture",
    "ArchitectureFamily",
    "BetaConsistentLaw",
    "BetaRegressionLaw",
    "Chinchilla",
    "ChinchillaRefit",
    "ClusterError",
    "CostModel",
    "DataError",
    "DataWall",
    "FetchError",
    "Fit",
    "Hardware",
    "ImportedResults",
    "InteractionLaw",
    "LawsAtEachK",
    "Noise",
    "Posterior",
    "PricedCost",
    "Profile",
    "Recorded",
    "Run",
    "Study",
    "SuiteFit",
    "allocate",
    "at_equal_compute",
    "at_hand",
    "bca_interval",
    "beta_mean_nll",
    "beta_neg_log_pass",
    "beta_pass_at_k",
    "bootstrap",
    "cheapest",
    "coverage",
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
    "fit_suite",
    "frontier",
    "influence",
    "intervals",
    "intraclass_correlation",
    "isoflop_parabolas",
    "isoflop_profile",
    "jackknife",
    "law_of",
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
    "posterior",
    "power_law",
    "profile",
    "read_results",
    "read_runs",
    "read_table",
    "recorded",
    "region",
    "simulate",
    "specification_spread",
    "specifications",
    "t2_grid",
    "validate",
]


def __getattr__(name: str) -> Any:
    """Import ``t2lib.plots`` at its first use: matplotlib takes longer than all the rest."""
    if name == "plots":
        import importlib

        return importlib.import_module("t2lib.plots")
    raise AttributeError(f"module 't2lib' has no attribute {name!r}")
