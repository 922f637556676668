"""How far the estimates lie from measured training steps and from published GPU measurements."""
