"""Train-to-test (T2) scaling laws: fit them, check them, and plan with them."""

from t2lib.fit import Fit, fit_additive, fit_at_each_k, fit_chinchilla, fit_interaction
from t2lib.fit_beta import (
    fit_beta,
    fit_beta_consistent,
    fit_beta_consistent_counts,
    fit_beta_regression,
    fit_beta_regression_counts,
)
from t2lib.laws import (
    AdditiveLaw,
    BetaConsistentLaw,
    BetaRegressionLaw,
    Chinchilla,
    InteractionLaw,
    LawsAtEachK,
)
from t2lib.passk import (
    beta_mean_nll,
    beta_neg_log_pass,
    beta_pass_at_k,
    neg_log_pass_from_nll,
    pass_at_k,
    pass_at_k_from_nll,
)

__all__ = [
    "AdditiveLaw",
    "BetaConsistentLaw",
    "BetaRegressionLaw",
    "Chinchilla",
    "Fit",
    "InteractionLaw",
    "LawsAtEachK",
    "beta_mean_nll",
    "beta_neg_log_pass",
    "beta_pass_at_k",
    "fit_additive",
    "fit_at_each_k",
    "fit_beta",
    "fit_beta_consistent",
    "fit_beta_consistent_counts",
    "fit_beta_regression",
    "fit_beta_regression_counts",
    "fit_chinchilla",
    "fit_interaction",
    "neg_log_pass_from_nll",
    "pass_at_k",
    "pass_at_k_from_nll",
]
