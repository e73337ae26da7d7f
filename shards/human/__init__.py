"""Pictures that people labelled: the importers of RichHF-18k and PAL, and the formats that these come in."""
