"""Where to damage a picture: mask policies behind one interface. Start at `policy`."""
