"""Scripts that run in the environment of one peer each: a row as JSON on stdin, its figure on stdout."""
