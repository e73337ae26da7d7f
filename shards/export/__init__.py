"""Shards as other tools want them: a folder of plain files in their layout, one module a format."""
