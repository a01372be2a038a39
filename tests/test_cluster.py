"""The same work on a real Dask cluster: two worker processes on the loopback.

Every wait is bounded, and only processes that a test started are ended.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from at_hand import ROOT

import t2lib as t2
from t2lib import _parallel as parallel
from t2lib._parallel import ClusterError
from t2lib.command.app import main
from t2lib.data import curves
from t2lib.data.layouts import Likelihoods, Samples

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def cluster() -> Iterator["distributed.LocalCluster"]:
    """Two worker processes; one that dies is started anew, however slow the machine is."""
    patience = {
        "distributed.deploy.lost-worker-timeout": "5 minutes",
        "distributed.comm.timeouts.connect": "2 minutes",
    }
    with (
        dask.config.set(patience),
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            silence_logs=50,
        ) as made,
    ):
        yield made


@pytest.fixture
def client(cluster: "distributed.LocalCluster") -> Iterator["distributed.Client"]:
    """A notebook's connection, when both workers are up."""
    with distributed.Client(cluster) as made:
        made.wait_for_workers(2, timeout=120)
        yield made


@pytest.fixture
def table() -> pd.DataFrame:
    """Six models of three checkpoints that follow a law, with noise."""
    N, D = (
        part.ravel() for part in np.meshgrid(np.geomspace(1e8, 1e10, 6), np.geomspace(1e9, 1e11, 3))
    )
    loss = t2.Chinchilla(1.7, 400.0, 2000.0, 0.35, 0.37).loss(N, D)
    noise = np.random.default_rng(0).normal(0, 0.002, N.size)
    models = [f"model {n:.0f}" for n in N]
    return pd.DataFrame(
        {"model": models, "n_params": N, "n_tokens": D, "loss": loss * np.exp(noise)}
    )


def fit(rows: pd.DataFrame) -> t2.Fit:
    return t2.fit_chinchilla(rows["n_params"], rows["n_tokens"], rows["loss"])


def worker_pids(client: "distributed.Client") -> list[int]:
    return list(client.run(os.getpid).values())


def slowly(i: int, folder: str) -> tuple[int, int]:
    """Take a while; tell which process did it, also in a file."""
    time.sleep(0.05)
    (Path(folder) / f"{i}-{os.getpid()}").touch()
    return i, os.getpid()


def die(_: object) -> None:
    os._exit(1)


# ------------------------------------------------------------------------------- the same numbers


def test_bootstrap_and_jackknife_give_the_same_numbers(client, table):
    here = os.getpid()

    def fit_there(rows: pd.DataFrame) -> t2.Fit:
        assert os.getpid() != here
        return fit(rows)

    with joblib.parallel_config("dask"):
        draws = t2.bootstrap(fit_there, table, n=24, seed=3, by="row")
        left_out = t2.jackknife(fit_there, table, by="row")
    assert draws.attrs["failed"]["number"] == 0
    pd.testing.assert_frame_equal(draws, t2.bootstrap(fit, table, n=24, seed=3, by="row"))
    pd.testing.assert_frame_equal(left_out, t2.jackknife(fit, table, by="row"))


def test_degenerate_resamples_are_counted_there_too(client, table):
    def fussy(rows: pd.DataFrame) -> float:
        if rows["resample_copy"].max() > 1:
            raise ValueError("one model three times")
        return rows["loss"].mean()

    with joblib.parallel_config("dask"), pytest.warns(RuntimeWarning, match="three times"):
        there = t2.bootstrap(fussy, table, n=40, seed=0, by="model")
    with pytest.warns(RuntimeWarning, match="three times"):
        here = t2.bootstrap(fussy, table, n=40, seed=0, by="model")
    assert 0 < there.attrs["failed"]["number"] < 40
    assert there.attrs == here.attrs
    pd.testing.assert_frame_equal(there, here)


def test_results_come_in_the_order_of_the_calls_and_calls_are_taken_as_needed(client, tmp_path):
    taken = []

    def calls() -> Iterator[Callable[[], tuple[int, int]]]:
        for i in range(60):
            taken.append(i)
            yield partial(slowly, i, str(tmp_path))

    with joblib.parallel_config("dask"):
        results = parallel.run(calls())
        first = next(results)
        assert len(taken) < 30
        done = [first, *results]
    assert [i for i, _ in done] == list(range(60))
    assert {pid for _, pid in done} <= set(worker_pids(client)) - {os.getpid()}


def small_likelihoods(suite: str, task: str) -> Iterator[Likelihoods]:
    """Three parts of four checkpoints, in place of the real ones."""
    rng = np.random.default_rng(len(task))
    for part in range(3):
        checkpoints = pd.DataFrame(
            {
                "suite": suite,
                "model": [f"model {part}" for _ in range(4)],
                "task": task,
                "n_params": 1e8 + part,
                "n_tokens": 1e9 * np.arange(1, 5),
            }
        )
        yield Likelihoods(checkpoints, rng.gamma(2.0, 1.0, (4, 300)).astype(np.float32))


def small_counts(suite: str, task: str) -> Iterator[Samples]:
    """One checkpoint of three questions, in place of the real ones."""
    counts = {"question": [1, 2, 3], "n_samples": 16, "n_correct": [0, 3, 16]}
    keys = {"suite": suite, "model": "model", "task": task}
    table = pd.DataFrame({**keys, "n_params": 7e7, "n_tokens": 2e9, **counts})
    yield Samples(table, np.array([1, 10]))


def test_curves_are_the_same_to_the_byte(client, tmp_path, monkeypatch):
    """The workers get what they compute on: they neither have nor need the released files."""
    for name, suite in curves.SUITES.items():
        small = small_likelihoods if name == "gemstones" else small_counts
        monkeypatch.setitem(curves.SUITES, name, replace(suite, parts=partial(small, name)))
    with joblib.parallel_config("dask"):
        there = curves.build(tmp_path / "there")
    here = curves.build(tmp_path / "here", jobs=1)
    assert [path.name for path in there] == [path.name for path in here]
    for one, other in zip(there, here, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name
    assert len(pd.read_parquet(tmp_path / "here/gemstones.parquet")) == 8 * 12 * 17


# ------------------------------------------------------------------------------- what goes wrong


def test_a_worker_killed_in_the_middle_loses_nothing(client, table, tmp_path):
    """Its calls are made again by the other; the bootstrap's numbers do not change."""
    victim = worker_pids(client)[0]

    def one_fit(rows: pd.DataFrame) -> t2.Fit:
        time.sleep(0.05)
        mine = tmp_path / f"{os.getpid()}"
        mine.touch()
        if os.getpid() == victim:
            os.kill(victim, signal.SIGKILL)  # in the middle of its second batch at the latest
        return fit(rows)

    with joblib.parallel_config("dask"):
        draws = t2.bootstrap(one_fit, table, n=48, seed=1, by="row")
    assert (tmp_path / f"{victim}").exists()
    assert not Path(f"/proc/{victim}").exists()
    pd.testing.assert_frame_equal(draws, t2.bootstrap(fit, table, n=48, seed=1, by="row"))


def test_a_worker_killed_from_outside_loses_nothing(client, tmp_path):
    victim, killed = worker_pids(client)[0], False
    done = []
    with joblib.parallel_config("dask"):
        for i, _ in parallel.run(partial(slowly, i, str(tmp_path)) for i in range(80)):
            done.append(i)
            if len(done) == 20:
                os.kill(victim, signal.SIGKILL)
                killed = True
    assert killed and done == list(range(80))


def test_a_call_that_kills_every_worker_is_one_line_and_no_wait(cluster, client, monkeypatch):
    """joblib's own Dask backend would wait for it for ever."""
    monkeypatch.setattr(cluster.scheduler, "allowed_failures", 1)  # Dask tries four times
    monkeypatch.setattr(parallel, "WORKERLESS_SECONDS", 200)  # new workers may start slowly
    with (
        joblib.parallel_config("dask"),
        pytest.raises(ClusterError, match=r"^a task was given up: .*workers died") as error,
    ):
        list(parallel.run(partial(die, i) for i in range(2)))
    assert "\n" not in str(error.value)


def test_a_process_that_dies_here_is_one_line_too():
    with pytest.raises(ClusterError, match=r"^a worker process died: ") as error:
        list(parallel.run((partial(die, i) for i in range(3)), n_jobs=2))
    assert "\n" not in str(error.value)


def test_an_error_of_a_call_comes_through_and_the_rest_is_called_off(client, tmp_path):
    calls = [partial(divmod, 1, 0), *(partial(slowly, i, str(tmp_path)) for i in range(100))]
    with joblib.parallel_config("dask"), pytest.raises(ZeroDivisionError):
        list(parallel.run(calls))
    deadline = time.monotonic() + 60
    while any(client.processing().values()):
        assert time.monotonic() < deadline, "the workers go on with what nobody waits for"
        time.sleep(0.1)
    assert len(list(tmp_path.iterdir())) < 20


# A scheduler and a worker that nobody restarts, and work on it; then one of them is killed.
LOSE = """
    import os, signal, subprocess, sys, time
    from functools import partial
    from t2lib import _parallel as parallel

    parallel.WORKERLESS_SECONDS = 3

    def slow(i):
        time.sleep(0.1)
        return i

    if __name__ == "__main__":
        pids = [int(pid) for pid in sys.argv[1:]]
        try:
            with parallel.scheduler():
                for i in parallel.run(partial(slow, i) for i in range(600)):
                    if i == 5:
                        for pid in pids:
                            os.kill(pid, signal.SIGKILL)
                        killed = time.monotonic()
        except parallel.ClusterError as error:
            print(time.monotonic() - killed, error)
"""


@pytest.mark.parametrize(
    ("lost", "message"),
    [("worker", "the cluster had no worker for 3 s"), ("scheduler", "the cluster was lost")],
)
def test_a_cluster_that_is_gone_is_told_within_seconds(lost, message, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    (tmp_path / "lose.py").write_text(textwrap.dedent(LOSE))
    environment = os.environ | {"T2LIB_SCHEDULER": address, "PYTHONPATH": f"{ROOT}:{tmp_path}"}
    quiet = {"stderr": subprocess.DEVNULL, "cwd": tmp_path, "env": environment}
    run = partial(subprocess.Popen, **quiet)
    cli = [sys.executable, "-m"]
    port = address.rsplit(":", 1)[1]
    local = ["--host", "127.0.0.1", "--no-dashboard"]
    started = {"scheduler": run([*cli, "distributed.cli.dask_scheduler", *local, "--port", port])}
    worker = [*cli, "distributed.cli.dask_worker", address, "--no-nanny", "--nthreads", "1", *local]
    try:
        started["worker"] = run(worker)
        with distributed.Client(address, timeout=200) as client:
            client.wait_for_workers(1, timeout=200)
        told = subprocess.run(
            [sys.executable, "lose.py", str(started[lost].pid)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        seconds, line = told.stdout.split(" ", 1)
        assert line.startswith(message) and line.count("\n") == 1
        assert float(seconds) < 30
    finally:
        for process in started.values():
            process.kill()
            process.wait()


# ------------------------------------------------------------------------------- the commands


def command(**environment: str) -> subprocess.CompletedProcess[str]:
    """Build the data in a process; seconds, or minutes where others keep it waiting."""
    return subprocess.run(
        [sys.executable, "-m", "t2lib", "data", "build"],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("tcp://127.0.0.1:9", "no Dask scheduler answers there"),
        ("127.0.0.1", "want an address such as tcp://127.0.0.1:8786"),
        ("nonsense", "want an address such as tcp://127.0.0.1:8786"),
    ],
)
def test_an_address_that_does_not_answer_is_one_line(address, message, tmp_path):
    done = command(T2LIB_SCHEDULER=address, T2LIB_MIRROR=str(tmp_path))
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(f"t2: error: T2LIB_SCHEDULER={address}: {message}")
    assert done.stderr.count("\n") == 1


ANSWERS = {
    "HTTP": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    "SSH": b"SSH-2.0-OpenSSH_9.6\r\n",
    "zeros": bytes(64),
    "garbage": bytes(range(256)) * 8,
    "a frame of 2^60 bytes": (2**60).to_bytes(8, "little"),
    "nothing, then the end": b"",
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_another_service_at_the_address_is_one_line(kind, monkeypatch):
    def serve(server):
        while True:
            try:
                peer, _ = server.accept()
            except OSError:  # closed: the test is over
                return
            with contextlib.suppress(OSError), peer:
                peer.sendall(ANSWERS[kind])

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, args=[server], daemon=True).start()
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setenv("T2LIB_SCHEDULER", address)
        with (
            pytest.raises(ClusterError, match=f"={address}: no Dask sch") as error,
            parallel.scheduler(),
        ):
            pass
        server.shutdown(socket.SHUT_RDWR)
    assert str(error.value).isprintable()


@pytest.mark.parametrize("address", ["tls://127.0.0.1:9", "ucx://127.0.0.1:9", "http://[::1]:9"])
def test_an_address_of_another_kind_is_one_line(address, tmp_path):
    done = command(T2LIB_SCHEDULER=address, T2LIB_MIRROR=str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert f"error: T2LIB_SCHEDULER={address}: no Dask scheduler answers" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_worker_is_no_scheduler(client, monkeypatch):
    worker = next(iter(client.scheduler_info()["workers"]))
    monkeypatch.setenv("T2LIB_SCHEDULER", worker)
    with pytest.raises(ClusterError, match=r"\(a Dask Worker\)"), parallel.scheduler():
        pass


def test_t2_fit_uses_the_scheduler_too(cluster, monkeypatch, tmp_path, capsys):
    from suites import curve_table

    asked = []
    real = parallel.run

    def watched(calls, **options):
        asked.append(joblib.parallel.get_active_backend()[0])
        return real(calls, **options)

    monkeypatch.setattr("t2lib.evals.importers.run", watched)
    monkeypatch.setenv("T2LIB_SCHEDULER", cluster.scheduler_address)
    curve_table(["maths"]).to_csv(tmp_path / "curves.csv", index=False)
    options = ["--no-report", "--n-bootstrap", "0", "--json", str(tmp_path / "o.json")]
    assert main(["fit", str(tmp_path / "curves.csv"), *options]) == 0
    assert [type(one).__name__ for one in asked] == ["DaskDistributedBackend"]


def test_models_are_trained_there_to_the_bit_though_a_worker_is_killed(client, cluster, tmp_path):
    """Two runs on two workers; one is killed after a saved state, another goes on from there."""
    pytest.importorskip("jax")
    from t2lib.testbed import files, grid
    from t2lib.testbed.presets import CHUNK, Run

    runs = [Run(8, seed, 6 * CHUNK) for seed in (0, 1)]  # too short for a checkpoint but the last
    here, there = tmp_path / "here", tmp_path / "there"
    client.run(setattr, grid, "SAVE_SECONDS", 0.0)
    victim, state = worker_pids(client)[0], there / runs[0].name / "state.safetensors"

    def kill() -> None:
        deadline = time.monotonic() + 200
        while not state.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(victim, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("T2LIB_SCHEDULER", cluster.scheduler_address)
        killer.start()
        with parallel.scheduler():
            grid.train_all(there, runs, n_samples=10)
    killer.join()
    grid.train_all(here, runs, n_samples=10, n_jobs=1)
    for run in runs:
        name = f"{run.name}/d{run.tokens:010d}.safetensors"
        (one, about), (other, facts) = files.load(here / name), files.load(there / name)
        assert about == facts
        assert all(np.array_equal(other[key], array) for key, array in one.items())


def test_an_address_where_something_else_listens_is_one_line(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        done = command(T2LIB_SCHEDULER=address, T2LIB_MIRROR=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.startswith(
        f"t2: error: T2LIB_SCHEDULER={address}: no Dask scheduler answers"
    )
    assert done.stderr.count("\n") == 1


def test_without_dask_the_extra_is_named(tmp_path):
    (tmp_path / "distributed.py").write_text("raise ImportError('no module named distributed')")
    done = command(T2LIB_SCHEDULER="tcp://127.0.0.1:9", PYTHONPATH=f"{tmp_path}:{ROOT}")
    assert done.returncode == 1
    message = "T2LIB_SCHEDULER=tcp://127.0.0.1:9: Dask is missing: pip install 't2lib[cluster]'"
    assert done.stderr == f"t2: error: {message}\n"


def test_the_environment_variable_sends_the_commands_work(cluster, monkeypatch, capsys, tmp_path):
    asked = []

    def build(**_: object) -> list[Path]:
        asked.extend(parallel.run(partial(os.getpid) for _ in range(4)))
        return []

    monkeypatch.setattr(curves, "build", build)
    monkeypatch.setenv("T2LIB_SCHEDULER", cluster.scheduler_address)
    assert main(["data", "build"]) == 0
    assert len(asked) == 4 and os.getpid() not in asked
    monkeypatch.delenv("T2LIB_SCHEDULER")
    asked.clear()
    assert main(["data", "build"]) == 0
    assert set(asked) == {os.getpid()}
