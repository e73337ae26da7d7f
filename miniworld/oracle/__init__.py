"""The oracle: the nearest valid scene of a picture, and what that scene leaves unexplained."""
