"""Fixes: edits that keep the user's formatting."""
