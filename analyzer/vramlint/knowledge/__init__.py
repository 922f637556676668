"""Facts about the world: optimizers, models, GPUs and framework defaults, each with its source."""
