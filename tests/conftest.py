"""Loads the collector of test pages."""

from __future__ import annotations

from tests.mdtest.plugin import pytest_addoption, pytest_collect_file

__all__ = ["pytest_addoption", "pytest_collect_file"]
