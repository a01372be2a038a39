"""Train-to-test (T2) scaling laws: fit them, check them, and plan with them.

Every public name is listed in ``__init__.pyi`` and imported at its first use: a command that only
reads a file need not wait for what fits and draws.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
