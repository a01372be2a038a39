"""Where work runs: in this process, in several, or on a Dask cluster. joblib does all three.

``with joblib.parallel_config("dask")`` in a notebook, or the environment variable
``T2LIB_SCHEDULER`` for the commands, sends everything that takes ``n_jobs`` to a cluster. The
cluster needs nothing but the same versions of Python and t2lib: data travel with the tasks.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from functools import cache
from pickle import PicklingError
from typing import Any, TypeVar

from t2lib._checks import clip

T = TypeVar("T")

# A scheduler on the same network answers within milliseconds; a wrong address must not hold up.
CONNECT_SECONDS = 5
# A cluster may lose its last worker and start another. After this long without any it is lost.
WORKERLESS_SECONDS = 60
_LOOK_SECONDS = 1.0  # between two looks of a worker at whether its parent still lives


class ClusterError(OSError):
    """A cluster that cannot be had, or workers that died; the message is one line."""


def run(
    calls: Iterable[Callable[[], T]], *, n_jobs: int | None = None, ordered: bool = True
) -> Iterator[T]:
    """Make every call, in as many processes as there are, and give the results as they come.

    Parameters
    ----------
    calls : iterable of callable
        Each takes nothing, such as ``functools.partial(function, data)``. They are taken one by
        one as workers get free, so a generator's data are never all in memory.
    n_jobs : int, optional
        Processes, as joblib counts them; by default what ``joblib.parallel_config`` says, else 1.
        On a cluster its workers count, and this does not.
    ordered : bool
        Whether the results come in the order of the calls, or as soon as each is done.

    Yields
    ------
    object
        What each call returned.

    Raises
    ------
    ClusterError
        Where a call's worker died again and again, or no worker is left. A worker that dies once
        costs nothing: on a cluster its calls are made again elsewhere.
    Exception
        The first that a call raised.
    """
    if _stays_here(n_jobs):
        yield from (call() for call in calls)
        return
    import joblib

    # With the arguments inside the call, Dask keeps a copy and can send it to another worker.
    # Arguments of their own would lie on one worker and be lost with it.
    cluster = _cluster()
    watch = {"initializer": _end_with, "initargs": (os.getpid(),)} if _own_processes() else {}
    pool = joblib.Parallel(
        n_jobs=n_jobs,
        backend=cluster,
        batch_size=1,
        return_as="generator" if ordered else "generator_unordered",
        **watch,
    )
    try:
        yield from pool(joblib.delayed(call)() for call in calls)
    except joblib.externals.loky.process_executor.TerminatedWorkerError as error:
        raise ClusterError(f"a worker process died: {_first_line(error)}") from None
    except PicklingError as error:
        # What is large goes to a worker through a file; of a full disk only a text is left here.
        if not (full := re.search(r"\[Errno (\d+)\]", str(error.__cause__))):
            raise
        folder = os.environ.get("JOBLIB_TEMP_FOLDER") or tempfile.gettempdir()
        what = f"cannot be written: {os.strerror(int(full[1]))}"
        raise OSError(int(full[1]), what, f"temporary files in {folder}") from None


def _stays_here(n_jobs: int | None) -> bool:
    """Tell whether one process is asked for, and nobody can have told joblib otherwise.

    Nobody can before it is imported, which would be a twentieth of `t2 plan`'s time.
    """
    return n_jobs in (None, 1) and "joblib" not in sys.modules


def _own_processes() -> bool:
    """Tell whether calls go to processes that joblib starts, its default."""
    import joblib

    return type(joblib.parallel.get_active_backend()[0]).__name__ == "LokyBackend"


def _end_with(parent: int) -> None:
    """End this worker soon after the process that started it, however that ended.

    Otherwise it would wait minutes for work, and hold the pipes of whoever waits for that process.
    The kernel's own signal (PR_SET_PDEATHSIG) will not do: it comes when the thread that started
    the worker ends.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def workers(n_jobs: int | None = None) -> int:
    """Count the processes that ``n_jobs`` means; 1 is this one, so nothing has to be sent.

    A cluster is never this process: it counts as two or more.

    Raises
    ------
    ClusterError
        Where the cluster has no worker.
    """
    if _stays_here(n_jobs):
        return 1
    import joblib

    backend = _cluster()
    return joblib.effective_n_jobs(n_jobs) if backend is None else backend.effective_n_jobs(n_jobs)


def _cluster() -> Any:
    """joblib's Dask backend where one is active, made to tell what is lost; else None."""
    import joblib

    backend, _ = joblib.parallel.get_active_backend()
    if type(backend).__name__ != "DaskDistributedBackend":
        return None
    kind: Any = type(backend)
    return _watched(kind)(client=backend.client)


@contextlib.contextmanager
def scheduler() -> Iterator[None]:
    """Send work to the Dask cluster that ``T2LIB_SCHEDULER`` names; without it change nothing.

    Raises
    ------
    ClusterError
        Where that is no address, no scheduler answers there within seconds, or ``distributed`` is
        not installed.
    """
    address = os.environ.get("T2LIB_SCHEDULER", "").strip()
    if not address:
        yield
        return
    named = f"T2LIB_SCHEDULER={clip(address)}"
    if not re.fullmatch(r"[a-z]+://.+:\d+", address):
        raise ClusterError(f"{named}: want an address such as tcp://127.0.0.1:8786")
    import asyncio

    import joblib

    try:
        import distributed
    except ImportError:
        raise ClusterError(f"{named}: Dask is missing: pip install 't2lib[cluster]'") from None
    # Dask logs every lost connection with its traceback; what matters is raised as one line.
    for name in ("distributed", "distributed.client", "distributed.comm", "tornado", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)

    async def identify() -> None:
        # Dask's own time limit ends where something listens there that says nothing.
        async def ask() -> Any:
            comm = await distributed.comm.connect(address, timeout=CONNECT_SECONDS)
            try:
                await comm.write({"op": "identity", "reply": True})
                return await comm.read()
            finally:
                comm.abort()

        found = await asyncio.wait_for(ask(), CONNECT_SECONDS)
        if found.get("type") != "Scheduler":
            raise ValueError(f"a Dask {found.get('type')}")

    try:
        with ThreadPoolExecutor(1) as apart:  # a notebook has an event loop in this thread
            apart.submit(asyncio.run, identify()).result()
        client = distributed.Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except Exception as error:  # whatever it is that listens there makes Dask raise anything
        reason = _first_line(error)
        raise ClusterError(f"{named}: no Dask scheduler answers there ({reason})") from None
    with client, joblib.parallel_config("dask", client=client):
        yield


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0] or type(error).__name__


@cache
def _watched(dask_backend: Any) -> Any:
    """joblib's Dask backend, that also tells when a task or the last worker is lost.

    joblib never hears of a task that Dask gave up, and waits for it for ever. And after an error
    or Ctrl-C it leaves the tasks that were sent to the workers, which would go on with them.
    """

    class Watched(dask_backend):
        def effective_n_jobs(self, n_jobs: int) -> int:
            try:
                cores = super().effective_n_jobs(n_jobs)
            except TimeoutError:
                raise ClusterError("the cluster has no worker") from None
            # For one, joblib would make the calls itself, in this process.
            return max(2, int(cores))

        def start_call(self) -> None:
            super().start_call()
            self.over = threading.Event()
            self.pending: dict[Any, Callable[[Any], None]] = {}
            threading.Thread(target=self.watch, daemon=True).start()

        def stop_call(self) -> None:
            self.over.set()
            super().stop_call()

        def abort_everything(self, ensure_ready: bool = True) -> None:
            sent = list(getattr(self, "_results", ()))  # what joblib has not had an answer to
            super().abort_everything(ensure_ready)
            with contextlib.suppress(Exception):  # the scheduler may be what was lost
                self.client.cancel(sent, force=True)

        def submit(self, func: Any, callback: Callable[[Any], None]) -> Any:
            future = super().submit(func, callback)
            self.pending[future] = callback
            future.add_done_callback(self.done)
            return future

        def done(self, future: Any) -> None:
            callback = self.pending.pop(future, None)
            if callback and future.exception():
                reason = _first_line(future.exception()).split(". ")[0]
                callback(ClusterError(f"a task was given up: {reason}"))

        def retrieve_result_callback(self, out: Any) -> Any:
            if isinstance(out, ClusterError):
                raise out
            if isinstance(out, CancelledError):  # by Dask, whose scheduler is gone
                raise ClusterError(f"the cluster was lost: {type(out).__name__}")
            return super().retrieve_result_callback(out)

        def watch(self) -> None:
            without = 0
            while not self.over.wait(1):
                try:
                    without = 0 if self.client.ncores() else without + 1
                except Exception:  # the scheduler does not answer
                    without += 1
                if without >= WORKERLESS_SECONDS:
                    lost = ClusterError(f"the cluster had no worker for {without} s")
                    for callback in list(self.pending.values()):
                        callback(lost)
                    return

    return Watched
