"""What a detector is for: repair that is checked, ranking, statistics."""
