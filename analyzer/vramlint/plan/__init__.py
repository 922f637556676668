"""Plans: everything the memory engine needs to know of one training run."""
