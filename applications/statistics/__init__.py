"""Where artifacts are, how many, and in what: of labels and of predictions."""
