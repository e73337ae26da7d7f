"""Repair of pictures where a detector sees artifacts, undone where it does not help."""
