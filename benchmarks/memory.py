"""Memory as it is really held."""

import subprocess
import time
from collections.abc import Mapping

import psutil


def peak_memory(command: list[str], environment: Mapping[str, str]) -> float:
    """Run a command to its end; return the most memory that it and its children held, in MiB.

    Pages that processes share are counted once (PSS), where the system tells them.
    """
    running = psutil.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    peak = 0
    while running.poll() is None:
        held = 0
        for process in [running, *running.children(recursive=True)]:
            try:
                memory = process.memory_full_info()
                held += getattr(memory, "pss", memory.rss)
            except psutil.Error:  # it has just ended
                continue
        peak = max(peak, held)
        time.sleep(0.2)
    assert running.returncode == 0
    return peak / 2**20
