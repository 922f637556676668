"""Facts: what a script says, as three-valued settings with an origin."""
