"""How long an editor waits for the language server, and what a long session costs."""
