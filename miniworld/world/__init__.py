"""The world: what a scene is, how it is drawn, and how it can be broken."""
