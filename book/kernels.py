"""Kernels forked from a process that has imported what every chapter imports, and nothing else.

Each is as fresh as one that is started, and spares the two seconds of those imports.
"""

import atexit
import os
import signal
import sys
from multiprocessing import forkserver
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from ipykernel.kernelapp import IPKernelApp
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

IMPORTED = [
    *["lmfit", "pyarrow.parquet", "seaborn", "t2lib.data.tables", "t2lib.fitting", "t2lib.plots"],
    # What pandera imports when it first looks at a table.
    *["pandera.backends.pandas.register", "pandera.strategies.pandas_strategies"],
]


def prepare(*, many: bool) -> None:
    """Start the process that kernels are forked from; few kernels import what they need alone."""
    own = ["__main__", "kernels", "ipykernel.debugger"]  # what every kernel imports
    forkserver.set_forkserver_preload([*own, *(IMPORTED if many else [])])
    forkserver.ensure_running()


class Kernel(ForkServerProcess):
    """A process, with the methods of the Popen that Jupyter would have started."""

    stdin = stdout = stderr = None

    def poll(self) -> int | None:
        """Return the exit code; None while the kernel runs."""
        return self.exitcode

    def wait(self) -> int | None:
        """Wait for the end and return the exit code."""
        self.join()
        return self.exitcode

    def send_signal(self, number: int) -> None:
        """Send the kernel a signal."""
        assert self.pid
        os.kill(self.pid, number)


class Kernels(AsyncKernelManager):
    """Jupyter's own manager; its kernels are forked."""

    async def _async_launch_kernel(self, kernel_cmd: list[str], **options: Any) -> None:
        arguments = kernel_cmd[kernel_cmd.index("-f") :]
        process: Any = Kernel(target=be_kernel, args=(arguments, options["cwd"], options["env"]))
        process.start()
        assert isinstance(self.provisioner, LocalProvisioner)
        self.provisioner.process, self.provisioner.pid = process, process.pid
        self._reconcile_connection_info(self.provisioner.connection_info)


def be_kernel(arguments: list[str], folder: str, variables: dict[str, str]) -> None:
    """Be a kernel in this folder, with these variables."""
    os.chdir(folder)
    os.environ.update(variables)
    sys.path.remove(str(Path(__file__).parent))  # the build's modules are none of a chapter's
    del sys.modules[__name__]
    if pandas := sys.modules.get("pandas"):  # when it was imported this was no notebook
        pandas.set_option("display.max_columns", 20)
    kernel: Any = IPKernelApp.instance(parent_handle=os.getppid())
    kernel.initialize(arguments)
    kernel.start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Jupyter interrupts what it ends
    atexit.unregister(kernel.close)  # waits for a thread that may wait for what it has closed
    atexit._run_exitfuncs()  # which the end of a forked process leaves out
