"""Can a detector tell a label by how its picture was made, and not by an artifact? Shards, trainings, a verdict."""
