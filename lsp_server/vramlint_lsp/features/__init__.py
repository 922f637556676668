"""What the server answers: one file per feature, each with a function `register`."""
