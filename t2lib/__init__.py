"""Train-to-test (T2) scaling laws: fit them, check them, and plan with them."""
