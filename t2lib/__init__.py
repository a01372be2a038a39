"""Train-to-test (T2) scaling laws: fit them, check them, and plan with them.

Every public name is listed in ``__init__.pyi`` and imported at its first use: a command that only
reads a file need not wait for what fits and draws.
"""

import sys
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

import lazy_loader

_public, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> object:
    """Import a public name, or a module of the package, at its first use."""
    if name not in __all__ and not name.startswith("_") and find_spec(f"{__name__}.{name}"):
        return import_module(f"{__name__}.{name}")
    return _public(name)


class _Package(ModuleType):
    """Keep ``t2lib.allocate`` the function when the module of that name is imported."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (isinstance(value, ModuleType) and name in __all__ and name != "plots"):
            super().__setattr__(name, value)

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return import_module, (self.__name__,)  # functions that name the package travel to workers


sys.modules[__name__].__class__ = _Package
