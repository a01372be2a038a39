"""Train-to-test (T2) scaling laws: fit them, check them, and plan with them.

Every public name is listed in ``__init__.pyi`` and imported at its first use: a command that only
reads a file need not wait for what fits and draws.
"""

import sys
from types import ModuleType

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


class _Package(ModuleType):
    """Keep ``t2lib.allocate`` the function when the module of that name is imported."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (isinstance(value, ModuleType) and name in __all__ and name != "plots"):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
