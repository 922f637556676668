"""Operators: what each allocates, saves for backward and frees."""
