"""Named colours and textures of the embedded world. Colours are RGB, 0..255."""

from __future__ import annotations

Colour = tuple[int, int, int]

SKINS: dict[str, Colour] = {
    "pale": (250, 222, 196),
    "light": (233, 190, 150),
    "tan": (205, 150, 105),
    "brown": (150, 98, 62),
    "dark": (104, 66, 44),
}
# Lips that stand out from the skin in lightness, not in hue alone: an autoencoder keeps little of the latter.
LIPS: dict[str, Colour] = {
    "pale": (176, 42, 52),
    "light": (176, 42, 52),
    "tan": (166, 34, 46),
    "brown": (98, 18, 34),
    "dark": (216, 108, 104),
}
HAIRS: dict[str, Colour] = {
    "black": (32, 28, 32),
    "brown": (98, 58, 32),
    "blond": (228, 190, 96),
    "red": (184, 76, 36),
    "grey": (176, 176, 182),
}
PAINTS: dict[str, Colour] = {
    "red": (214, 42, 44),
    "blue": (34, 92, 208),
    "green": (24, 142, 74),
    "yellow": (246, 204, 52),
    "orange": (242, 132, 30),
    "purple": (134, 62, 176),
    "white": (244, 244, 244),
    "black": (34, 34, 40),
}
# Plates whose lettering is dark; on every other plate it is white.
LIGHT_PAINTS = frozenset({"yellow", "white", "orange"})

# name -> colour at the top of the picture, colour at the horizon
SKIES: dict[str, tuple[Colour, Colour]] = {
    "blue": ((92, 150, 222), (196, 222, 244)),
    "teal": ((92, 184, 180), (196, 232, 222)),
    "purple": ((120, 96, 184), (222, 190, 226)),
    "pink": ((226, 132, 160), (250, 214, 204)),
    "orange": ((234, 152, 92), (252, 224, 176)),
    "grey": ((134, 142, 154), (206, 210, 214)),
}
# name -> colour at the horizon, colour at the bottom
GROUNDS: dict[str, tuple[Colour, Colour]] = {
    "green": ((112, 164, 92), (62, 118, 58)),
    "sand": ((220, 196, 148), (184, 152, 102)),
    "stone": ((152, 152, 156), (102, 104, 112)),
    "brown": ((150, 112, 82), (96, 68, 50)),
    "navy": ((84, 98, 140), (44, 54, 92)),
    "plum": ((138, 88, 122), (88, 48, 82)),
}
TEXTURES = ("plain", "stripes", "checks", "dots", "speckle")
