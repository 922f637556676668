"""Configs of models that the catalogue lacks: asked of the Hugging Face hub in a process of its own."""
