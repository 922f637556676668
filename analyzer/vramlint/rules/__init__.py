"""Rules: one file each, from an estimated run to findings."""
