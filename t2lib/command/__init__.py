"""The command ``t2``: one module a command, thin over the rest."""
