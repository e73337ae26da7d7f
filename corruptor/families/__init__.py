"""Families of models: a file each for how its networks are spoken to, and a table of them."""
