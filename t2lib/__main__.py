"""``python -m t2lib`` is the command ``t2``."""

from t2lib.command.app import main

if __name__ == "__main__":
    raise SystemExit(main())
