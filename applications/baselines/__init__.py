"""Methods that the papers compare with, brought to the form of a detector; the weights are the user's."""
