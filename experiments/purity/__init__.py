"""How often a mask holds a fault, before and after verification, as the oracle sees it."""
