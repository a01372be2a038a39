"""What to train and how often to sample: costs, budgets, the best plan, and how far to trust it."""
