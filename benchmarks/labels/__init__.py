"""How many facts of hand-labelled training files the analyzer reads right, leaves open, or gets wrong."""
