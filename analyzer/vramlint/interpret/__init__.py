"""The interpreter of the user's own modules: their classes are read from the tree and walked on the tape.

Nothing of the user's runs: an expression is a node of the syntax tree, and its value is a plain number or text,
a symbolic tensor, a module of the engine, or an `Unread` that says why it is not known.
"""
