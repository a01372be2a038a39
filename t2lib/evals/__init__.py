"""Readers of other tools' evaluation logs."""
