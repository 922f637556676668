"""What runs in the user's own process: it records the real memory, and knows only the JSON of an estimate."""
