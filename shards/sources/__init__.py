"""Where pictures come from: folders, tars, labelled runs and lists, on this machine or behind an address."""
