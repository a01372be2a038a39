"""Fits: one module a method, each function returning a :class:`~t2lib.Fit`."""
