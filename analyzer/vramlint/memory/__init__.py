"""The memory engine: walks a training step on symbolic tensors and keeps the ledger."""
