"""A trained detector, adapted to a few pictures of a new generator, with a check against forgetting."""
