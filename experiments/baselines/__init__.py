"""Real against generated in the embedded world: what classifiers that know no artifact make of artifacts."""
