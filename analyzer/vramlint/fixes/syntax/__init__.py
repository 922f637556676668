"""Edits of concrete syntax, in a package of their own: looking for fixes must not import libcst."""
