"""Repair in the embedded world, judged by the oracle, who takes no part in it."""
