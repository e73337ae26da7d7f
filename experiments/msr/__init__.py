"""The tables of mask-based semantic rejection (Yin 2026), over any labelled sets, in their embedded form by default."""
