"""Runs a plan's real model on tensors without data: the training step as torch does it, on a GPU that is not there."""
