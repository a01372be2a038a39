"""How difficulty spreads over a task's questions, and how well a Beta describes it (chapter 03)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from t2lib._checks import FloatArray


def binned_nll(histogram: pd.DataFrame) -> FloatArray:
    """NLL of each question of a histogram, at the middle of its bin of log p.

    Parameters
    ----------
    histogram : DataFrame
        Rows of :func:`t2lib.load_histograms`: ``log_p_low``, ``log_p_high``, ``n_questions``.

    Returns
    -------
    ndarray, shape (questions,)
        In nats, within half a bin (0.0625) of the question's own.
    """
    middle = -(histogram["log_p_low"] + histogram["log_p_high"]) / 2
    return np.repeat(middle.to_numpy(), histogram["n_questions"])
