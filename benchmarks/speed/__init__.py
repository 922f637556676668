"""How long a check takes, as a ratio to things that are timed in the same run."""
