"""Model families as forward passes on symbolic tensors, one file each."""
