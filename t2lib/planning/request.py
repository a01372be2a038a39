"""What is asked of a plan: the keywords that all planning functions share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

import numpy.typing as npt

from t2lib.planning.costs import Cost
from t2lib.planning.data_wall import DataWall
from t2lib.planning.objective import Metric
from t2lib.planning.selection import Wrong

Range = tuple[float | None, float | None]


class Request(TypedDict, total=False):
    """Budgets, costs and limits of a plan, given as keywords; what is left out is None.

    Give either ``train_flops``, alone or with ``inference_flops`` (budgets apart), or
    ``total_flops`` with ``queries`` (one budget for the model's lifetime).

    Parameters
    ----------
    train_flops : float
        Training budget in FLOPs; with the default costs ``D = train_flops / (6 N)``.
    inference_flops : float
        Budget in FLOPs for one query; with the default costs ``k = inference_flops / (2 N)``, where
        a query is one token. Without one, a single sample is drawn (k = 1).
    total_flops : float
        Budget in FLOPs for training and all queries,
        ``cost.train_flops(N, D) + queries * cost.query_flops(N, k)``. The best k is searched too.
    queries : float
        Number of queries over the model's life, 0 or more.
    cost : CostModel
        Or any :class:`~t2lib.planning.costs.Cost`; by default ``CostModel()``, the paper's 6 N D
        and 2 N k.
    metric : {"pass_at_k", "neg_log_pass", "loss"}
        What to make best; by default the first of these that the law has. With one of the last
        three keywords it is "answered_right", the share of the questions answered right.
    whole_k : bool
        Whether k must be a whole number; False by default. Whole numbers of samples are searched
        apart, each over its own N; nothing is rounded.
    n_range : (float or None, float or None)
        Smallest and largest N allowed (memory); by default from 1 on. N is also kept where the
        budgets pay for one token and one sample.
    max_k : float
        Most samples allowed (latency).
    unique_tokens : float or DataWall
        Stock of unique tokens. Tokens beyond it are repetitions, worth less, and parameters beyond
        what suits it too: see :class:`~t2lib.DataWall`.
    verifier : float
        Chance v that the right sample is found when one of several is right, the same for every
        question; 1 by default. With k = 1 there is nothing to find. So success is ``pass@1``, or
        ``v pass@k`` for k above 1, whichever is better; -log pass@k gets ``-log v`` more.
    false_positives : float
        Chance that the verifier accepts a wrong sample, the same for all; 0 by default. The first
        accepted sample is the answer. Needs a Beta law, as the next two do; one of the three.
    vote : {"agree", "differ"}
        No verifier: the most frequent answer. The wrong samples of a question all agree on one
        answer, the worst case, or all differ, the best. Apart budgets are spent whole or on one
        sample, though a vote among fewer may be better.
    stop_early : bool
        Whether a query ends with its first success, told by a perfect verifier. Then the budget
        pays for the mean number of samples, which is the plan's k; ``max_k`` limits what one query
        may take.
    """

    train_flops: npt.ArrayLike | None
    inference_flops: npt.ArrayLike | None
    total_flops: npt.ArrayLike | None
    queries: npt.ArrayLike | None
    cost: Cost | None
    metric: Metric | None
    whole_k: bool
    n_range: Range | None
    max_k: float | None
    unique_tokens: float | DataWall | None
    verifier: float
    false_positives: float
    vote: Wrong | None
    stop_early: bool


def check_names(request: Mapping[str, object]) -> None:
    """Raise TypeError for a keyword that no request has, as a function's own signature would."""
    for name in request:
        if name not in Request.__annotations__:
            known = ", ".join(Request.__annotations__)
            raise TypeError(f"a plan has no keyword {name!r}: it has {known}")
