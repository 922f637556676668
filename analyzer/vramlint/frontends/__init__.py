"""Frontends: one file for each framework whose calls we read."""
