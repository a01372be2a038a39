"""A problem's numbers are the same to the last bit in a batch of any size and any order.

Under every kernel of OpenBLAS that this machine runs, and with one thread or two: each in a
process of its own, as the kernel is chosen when numpy is loaded.
"""

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import t2lib as t2
from t2lib import passk
from t2lib.fitting.huber import fit_huber_logs
from t2lib.fitting.projection import fit_power_sums

HERE = Path(__file__).parent
# What OPENBLAS_CORETYPE asks for, and the names that OpenBLAS calls such kernels by.
KERNELS = {
    "Haswell": {"Haswell"},
    "Zen": {"Zen", "Haswell"},
    "Prescott": {"Prescott", "Katmai"},
    "Nehalem": {"Nehalem"},
}
SIZES = (1, 2, 7, 64)
CHINCHILLA = t2.Chinchilla(E=1.7, A=400.0, B=2000.0, alpha=0.35, beta=0.37)
ADDITIVE = t2.AdditiveLaw(E=0.5, A=400.0, B=2000.0, alpha=0.35, beta=0.37, G=1.5, gamma=0.35)


def kernel() -> str:
    """Name of the kernels that numpy's OpenBLAS uses; empty where it has another BLAS."""
    for path in Path(np.__file__).parents[1].glob("numpy.libs/libscipy_openblas64*"):
        name = ctypes.CDLL(str(path)).scipy_openblas_get_corename64_
        name.restype = ctypes.c_char_p
        return name().decode()
    return ""


def scattered(n: int, rng: np.random.Generator) -> list[np.ndarray]:
    return [np.exp(rng.uniform(np.log(low), np.log(1e3 * low), n)) for low in (1e7, 1e9)]


def crossed(rng: np.random.Generator) -> list[np.ndarray]:
    sizes = np.geomspace(1e7, 1e10, 6), np.geomspace(1e9, 1e12, 7), 2.0 ** np.arange(6)
    return [x.ravel() for x in np.meshgrid(*sizes)]


def problems() -> dict:
    """Name of each batched fit to a function from weightings to one array for each."""
    rng = np.random.default_rng(0)
    N, D = scattered(90, rng)
    loss = CHINCHILLA.loss(N, D) * np.exp(0.02 * rng.standard_t(3, len(N)))
    k = rng.integers(1, 200, len(N)).astype(float)
    levels = crossed(rng)
    noise = np.exp(0.05 * rng.standard_t(3, len(levels[0])))
    on_levels = ADDITIVE.neg_log_pass(*levels) * noise
    off_levels = ADDITIVE.neg_log_pass(N, D, k) * np.exp(0.02 * rng.standard_t(3, len(N)))

    def sums(xs: list[np.ndarray], y: np.ndarray):
        def fit(weights: np.ndarray) -> np.ndarray:
            found = fit_power_sums(xs, y, weights)
            return np.array(
                [[s.constant, *s.coefficients, *s.exponents, s.objective] for s in found]
            )

        return fit, len(y)

    def huber(weights: np.ndarray) -> np.ndarray:
        v, value = fit_huber_logs(N, D, loss, weights, 1e-3)
        return np.concatenate([v, value[:, None]], axis=1)

    return {
        "Chinchilla": sums([N, D], loss),
        "Chinchilla on levels": sums(levels[:2], on_levels),
        "additive": sums([N, D, k], off_levels),
        "additive on levels": sums(levels, on_levels),
        "Huber": (huber, len(loss)),
    }


def differing_fits() -> list[str]:
    """Fits whose numbers depend on the batch."""
    found = []
    for name, (fit, rows) in problems().items():
        rng = np.random.default_rng(1)
        weights = rng.multinomial(rows, np.full(rows, 1 / rows), 64).astype(float)
        weights[3] = 1.0
        whole = fit(weights)
        for size in SIZES:
            # Every problem once in the largest batches, one of each in the smaller ones.
            some = rng.permutation(64)[: max(size, 7)]
            parts = [some[i : i + size] for i in range(0, len(some), size)]
            apart = np.concatenate([fit(weights[part]) for part in parts])
            if not np.array_equal(apart, whole[some]):
                found.append(f"{name}, {size} at a time")
        # The layout of the weights is no part of the problem either.
        if not np.array_equal(fit(np.asfortranarray(weights[:7])), whole[:7]):
            found.append(f"{name}, in another layout")
    return found


def differing_beta() -> list[str]:
    """Functions of the Beta laws whose numbers depend on what else is asked."""
    rng = np.random.default_rng(2)
    a, b = np.exp(rng.uniform(-6, 6, (2, 6000)))
    k, loss = np.exp(rng.uniform(0, 14, 6000)), np.exp(rng.uniform(-4, 3, 6000))
    consistent = t2.BetaConsistentLaw(CHINCHILLA, 1.0, 0.3)
    regression = t2.BetaRegressionLaw(CHINCHILLA, (2.0, 1.5, 0.9, 1.0, 0.1))
    columns = {
        "beta_pass_at_k": (passk.beta_pass_at_k, (a, b, k)),
        "beta_neg_log_pass": (passk.beta_neg_log_pass, (a, b, k)),
        "beta_mean_nll": (passk.beta_mean_nll, (a, b)),
        "beta_a_from_mean_nll": (passk.beta_a_from_mean_nll, (b, loss)),
        "pass_at_k": (passk.pass_at_k, (k.round() + 10, np.minimum(k, 9).round(), k.round())),
        "BetaConsistentLaw": (lambda loss: consistent.shape_at_loss(loss)[0], (loss,)),
        "BetaRegressionLaw": (lambda loss: regression.shape_at_loss(loss)[0], (loss,)),
    }
    found = []
    for name, (function, arguments) in columns.items():
        whole = function(*arguments)
        for size in (*SIZES, 4500):
            some = rng.permutation(6000)[:size]
            if not np.array_equal(function(*(x[some] for x in arguments)), whole[some]):
                found.append(f"{name}, {size} at a time")
    losses = rng.exponential(2.0, (64, 50))
    for function in (passk.pass_at_k_from_nll, passk.neg_log_pass_from_nll):
        whole = function(losses, [1, 8])
        alone = [function(np.asfortranarray(losses)[i], [1, 8]) for i in range(64)]
        if not np.array_equal(np.array(alone), whole):
            found.append(function.__name__)
        if not np.array_equal(function(np.asfortranarray(losses), [1, 8]), whole):
            found.append(f"{function.__name__}, in another layout")
    return found


def differing_processes() -> list[str]:
    """Bootstraps whose draws depend on how many processes make them."""
    rng = np.random.default_rng(3)
    table = pd.DataFrame(dict(zip(("n_params", "n_tokens", "k"), crossed(rng), strict=True)))
    law = t2.BetaConsistentLaw(CHINCHILLA, 1.0, 0.3)
    regression = t2.BetaRegressionLaw(CHINCHILLA, (2.0, 1.5, 0.9, 1.0, 0.1))
    table = pd.concat([table.assign(model=copy) for copy in range(12)], ignore_index=True)
    table["mean_nll"] = law.chinchilla.loss(table["n_params"], table["n_tokens"])
    table["pass_at_k"] = law.pass_at_k(table["n_params"], table["n_tokens"], table["k"])
    table["pass_at_k"] **= np.exp(0.05 * rng.standard_normal(len(table)))
    table["neg_log_pass"] = -np.log(table["pass_at_k"])
    # The first row of each checkpoint tells its loss.
    runs = table[table["k"] == 1].assign(loss=lambda t: t["mean_nll"])

    def columns(t: pd.DataFrame) -> list[np.ndarray]:
        return [t[c].to_numpy() for c in ("n_params", "n_tokens", "k", "pass_at_k")]

    def consistent(t: pd.DataFrame) -> t2.Fit:
        return t2.fit_beta_consistent(*columns(t), loss=t["mean_nll"], start=law)

    def beta_regression(t: pd.DataFrame) -> t2.Fit:
        return t2.fit_beta_regression(*columns(t), loss=t["mean_nll"], start=regression)

    refits = {
        "Chinchilla": (t2.ChinchillaRefit(), runs),
        "Huber": (t2.ChinchillaRefit(objective="huber_log"), runs),
        "additive": (t2.AdditiveRefit(), table),
        "Beta-consistent": (consistent, table),
        "Beta regression": (beta_regression, table),
    }
    found = []
    for name, (refit, rows) in refits.items():
        one, two = (
            t2.bootstrap(refit, rows, n=4, seed=0, by="row", n_jobs=jobs) for jobs in (1, 2)
        )
        if not one.equals(two) or one.attrs != two.attrs:
            found.append(name)
    return found


def in_a_process(what: str, core: str, threads: int | None) -> list[str]:
    """What differs under these kernels; skips the test where the machine has no such kernels."""
    env = {**os.environ, "OPENBLAS_CORETYPE": core, "PYTHONPATH": str(HERE)}
    env["OPENBLAS_THREAD_TIMEOUT"] = "4"  # 2^4 ticks: threads that wait for work soon sleep
    env.pop("OPENBLAS_NUM_THREADS", None)
    if threads:
        env["OPENBLAS_NUM_THREADS"] = str(threads)
    call = f"import test_any_batch as t, json; print(json.dumps([t.kernel(), t.{what}()]))"
    done = subprocess.run([sys.executable, "-c", call], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    used, found = json.loads(done.stdout)
    if used not in KERNELS[core]:
        # Old processors lack newer kernels, other BLAS libraries have none to choose.
        pytest.skip(f"asked for the kernels {core}, numpy uses {used or 'another BLAS'}")
    return found


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("core", KERNELS)
def test_batch_size_and_order_change_no_bit(core, threads):
    assert in_a_process("differing_fits", core, threads) == []


def test_functions_of_the_beta_laws_know_no_neighbours():
    assert differing_beta() == []


@pytest.mark.parametrize("core", ["Haswell", "Prescott"])
def test_number_of_processes_changes_no_bit(core):
    """With threads left to OpenBLAS: this process then has more of them than its workers."""
    assert in_a_process("differing_processes", core, None) == []
