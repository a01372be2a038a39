"""Train-to-test (T2) scaling laws: fit them, check them, and plan with them."""

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
    "InteractionLaw",
    "LawsAtEachK",
    "beta_mean_nll",
    "beta_neg_log_pass",
    "beta_pass_at_k",
    "neg_log_pass_from_nll",
    "pass_at_k",
    "pass_at_k_from_nll",
]
