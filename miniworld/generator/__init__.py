"""The embedded diffusion pipeline: its networks, its training, and pictures from it."""
