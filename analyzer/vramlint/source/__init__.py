"""Documents: the text of a script or notebook, its cells, and places in it."""
