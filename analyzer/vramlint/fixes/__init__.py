"""Fixes: ways to need less memory, each a changed plan and, where it can be written down, an edit.

Every module with a `NAME` is a fix, and one file: `SAFETY`, `title(plan)`, `change(plan)` which returns the changed
plan or None where it makes no sense, and for those that can edit, `edit(script, plan)`, which changes the script or
raises `CannotEdit`.

A fix is safe where the training computes the same in exact arithmetic, with the packages that the script already
uses: the same loss, gradients and update.
"""
