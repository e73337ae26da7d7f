"""Makes labelled artifact images: invert, inject noise under a mask, resample, verify. Start at `pipeline`."""
