"""The boundary: what comes from outside (JSON, tars, names, files of any kind) is checked before it is believed."""
