"""The package: its parts are imported at their first use, and it travels to worker processes."""

import pickle
import pkgutil
import subprocess
import sys
import types

import cloudpickle
import pytest

import t2lib as t2


def test_every_public_name_is_there():
    """A module only where it is public itself: ``t2.allocate`` is the function."""
    modules = [name for name in t2.__all__ if isinstance(getattr(t2, name), types.ModuleType)]
    assert modules == ["plots"] and set(t2.__all__) <= set(dir(t2))


def test_no_module_is_named_like_a_public_name():
    """Importing a module sets its name in the package; a function of that name would be lost."""
    modules = {name for _, name, _ in pkgutil.iter_modules(t2.__path__)}
    assert modules & set(t2.__all__) == {"plots"}


def test_unknown_names_are_refused():
    with pytest.raises(AttributeError, match="nope"):
        _ = t2.nope


def test_a_notebook_s_function_that_names_the_package_can_be_sent():
    """As joblib and Dask send it."""
    send = cloudpickle.dumps(lambda: t2.allocate.__name__)
    assert pickle.loads(send)() == "allocate"


def test_importing_it_loads_nothing_large():
    """So that a command that only reads a file need not wait."""
    code = "import sys, t2lib; print([m for m in ('numpy', 'pandas', 'scipy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_calls_in_one_process_do_not_wait_for_joblib():
    code = """
import sys
from t2lib import _parallel
print(list(_parallel.run([lambda: 1])), _parallel.workers(), "joblib" in sys.modules)
print(_parallel.workers(2), "joblib" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[1] 1 False", "2 True"]
