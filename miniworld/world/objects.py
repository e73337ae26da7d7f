"""How the objects of a scene, its things, are built from layers: faces, hands, signs and vehicles.

A thing's size s: half the head's height (face), from wrist to middle fingertip over two (hand), half a letter's
height (sign), half the length (vehicles). All coordinates below are in units of s.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

from miniworld.world.colours import HAIRS, LIGHT_PAINTS, LIPS, PAINTS, SKINS
from miniworld.world.glyphs import PEN, letter_centres, letter_lines
from miniworld.world.raster import Layer, Point, box, ellipse, polygon, stroke, strokes, without
from miniworld.world.scenes import Thing

Rgb = tuple[float, float, float]
WHITE: Rgb = (250, 250, 250)
INK: Rgb = (26, 26, 30)
GLASS: Rgb = (188, 222, 240)

# Parts that a selector may pick, per kind; label k + 1 in `render.part_labels` is PARTS[k].
PARTS_OF = {
    "face": ("hair", "skin", "eye", "brow", "nose", "mouth"),
    "hand": ("palm", "finger", "thumb", "sleeve"),
    "sign": ("plate", "letter"),
    "car": ("body", "window", "wheel", "lamp"),
    "bus": ("body", "window", "wheel", "lamp"),
}
PARTS = tuple(f"{kind}.{part}" for kind, parts in PARTS_OF.items() for part in parts)


def shade(colour: Rgb, factor: float) -> Rgb:
    """A colour made darker (factor below 1) or lighter."""
    r, g, b = (min(255.0, c * factor) for c in colour)
    return (r, g, b)


def layers_of(thing: Thing) -> list[Layer]:
    """All layers of a thing, back to front."""
    t = thing
    return list(_built(t.kind, t.skin, t.hair, t.style, t.mouth, t.gaze, t.spread, t.paint, t.word))


@lru_cache(maxsize=1024)
def _built(kind: str, *look: Any) -> tuple[Layer, ...]:
    """The layers of a look, which no pose changes."""
    thing = Thing(kind, 0, 0, 1, 0, False, *look)
    return tuple({"face": face, "hand": hand, "sign": sign, "car": car, "bus": bus}[kind](thing))


def face(t: Thing) -> list[Layer]:
    """Hair, ears, head, fringe, then eyes, brows, nose and mouth."""
    skin: Rgb = SKINS[t.skin]
    hair: Rgb = HAIRS[t.hair]
    out: list[Layer] = []
    if t.style == "long":
        out.append(Layer("face.hair", hair, box(0, 0.0, 0.96, 1.06, 0.62)))
    else:
        out.append(Layer("face.hair", hair, ellipse(0, -0.16, 0.88, 0.94)))
    if t.style == "bun":
        out.append(Layer("face.hair", hair, ellipse(0, -1.0, 0.34, 0.2)))
    out += [Layer("face.skin", shade(skin, 0.9), ellipse(x, 0.05, 0.16, 0.22)) for x in (-0.78, 0.78)]
    head = ellipse(0, 0.06, 0.78, 0.94)
    out.append(Layer("face.skin", skin, head))
    fringe = ellipse(0, 1.0, 1.35, 1.42)
    # A little wider than the head, or a seam of skin shows between fringe and hair.
    crown = ellipse(0, 0.04, 0.82, 0.96)
    out.append(Layer("face.hair", hair, without(crown, fringe)))
    for x in (-0.33, 0.33):
        out.append(eye(x, t.gaze)[0])
        out.append(eye(x, t.gaze)[1])
        out.append(Layer("face.brow", shade(hair, 0.75), stroke(((x - 0.17, -0.33), (x + 0.17, -0.35)), 0.05)))
    out.append(Layer("face.nose", shade(skin, 0.72), stroke(((0.02, 0.02), (0.06, 0.24), (-0.04, 0.26)), 0.04)))
    return out + mouth(t.mouth, t.skin)


def eye(x: float, gaze: float, y: float = -0.08) -> list[Layer]:
    """White and pupil, around (x, y); `gaze` moves the pupil."""
    return [
        Layer("face.eye", WHITE, ellipse(x, y, 0.21, 0.155)),
        Layer("face.eye", INK, ellipse(x + 0.21 * gaze, y, 0.105, 0.125)),
    ]


def mouth(style: str, skin: str, y: float = 0.55) -> list[Layer]:
    """A mouth of a style (smiling, calm, shouting), its middle y below the head's."""
    red: Rgb = LIPS[skin]
    if style == "smiling":
        curve = ((-0.32, y - 0.07), (-0.15, y + 0.06), (0.15, y + 0.06), (0.32, y - 0.07))
        return [Layer("face.mouth", red, stroke(curve, 0.075))]
    if style == "calm":
        return [Layer("face.mouth", red, stroke(((-0.24, y), (0.24, y)), 0.075))]
    return [
        Layer("face.mouth", red, ellipse(0, y, 0.25, 0.19)),
        Layer("face.mouth", (70, 16, 24), ellipse(0, y, 0.15, 0.1)),
    ]


# Root on the palm, direction from straight up (radians, before spread), length.
FINGERS = ((-0.34, -0.30, 0.60), (-0.12, -0.10, 0.78), (0.12, 0.10, 0.74), (0.34, 0.30, 0.56))
FINGER_RADIUS = 0.105
OUTLINE = 0.062


def finger_line(root: float, angle: float, length: float, spread: float) -> tuple[Point, ...]:
    """From a finger's root on the palm to its tip."""
    a = angle * spread
    foot = (root * (0.8 + 0.2 * spread), -0.02)
    return (foot, (foot[0] + length * math.sin(a), foot[1] - length * math.cos(a)))


def hand(t: Thing) -> list[Layer]:
    """Palm, thumb and four fingers, each with a dark rim, and a sleeve."""
    skin: Rgb = SKINS[t.skin]
    edge = shade(skin, 0.55)
    thumb = ((-0.3, 0.48), (-0.56, 0.28), (-0.72, 0.0))
    palm = box(0, 0.36, 0.42, 0.42, 0.2)
    out = [
        Layer("hand.palm", edge, box(0, 0.36, 0.42 + OUTLINE, 0.42 + OUTLINE, 0.24)),
        Layer("hand.thumb", edge, stroke(thumb, 0.13 + OUTLINE)),
    ]
    for root, angle, length in FINGERS:
        out += finger(finger_line(root, angle, length, t.spread), skin)
    out += [
        Layer("hand.palm", skin, palm),
        Layer("hand.thumb", skin, stroke(thumb, 0.13)),
        Layer("hand.sleeve", shade(PAINTS[t.paint], 0.5), box(0, 0.9, 0.44, 0.17, 0.06)),
        Layer("hand.sleeve", PAINTS[t.paint], box(0, 0.9, 0.40, 0.13, 0.04)),
    ]
    return out


def finger(line: tuple[Point, ...], skin: Rgb) -> list[Layer]:
    """A finger with the dark rim that keeps it apart from its neighbours."""
    return [
        Layer("hand.finger", shade(skin, 0.55), stroke(line, FINGER_RADIUS + OUTLINE)),
        Layer("hand.finger", skin, stroke(line, FINGER_RADIUS)),
    ]


def ink_of(paint: str) -> Rgb:
    """The colour of the letters on a plate."""
    return INK if paint in LIGHT_PAINTS else WHITE


def sign(t: Thing) -> list[Layer]:
    """A plate and one layer for each letter."""
    ink = ink_of(t.paint)
    half = 0.75 * len(t.word) + 0.4
    out = [
        Layer("sign.plate", shade(ink, 0.92), box(0, 0, half + 0.12, 1.55, 0.4)),
        Layer("sign.plate", PAINTS[t.paint], box(0, 0, half - 0.06, 1.37, 0.3)),
    ]
    for letter, centre in zip(t.word, letter_centres(len(t.word)), strict=True):
        out.append(Layer("sign.letter", ink, strokes(letter_lines(letter, centre), PEN)))
    return out


WHEELS = {"car": ((-0.56, 0.34), (0.56, 0.34)), "bus": ((-0.58, 0.48), (0.58, 0.48))}


def wheel(kind: str, x: float, y: float) -> list[Layer]:
    """Tyre and hub, around (x, y)."""
    return [
        Layer(f"{kind}.wheel", INK, ellipse(x, y, 0.215, 0.215)),
        Layer(f"{kind}.wheel", (190, 192, 198), ellipse(x, y, 0.1, 0.1)),
    ]


def car(t: Thing) -> list[Layer]:
    """Cabin with two windows, body, lamp, two wheels."""
    body: Rgb = PAINTS[t.paint]
    cabin = ((-0.64, -0.08), (-0.4, -0.5), (0.3, -0.5), (0.62, -0.08))
    out = [
        Layer("car.body", shade(body, 0.8), polygon(cabin)),
        Layer("car.window", GLASS, polygon(((-0.5, -0.12), (-0.33, -0.41), (-0.08, -0.41), (-0.08, -0.12)))),
        Layer("car.window", GLASS, polygon(((0.02, -0.12), (0.02, -0.41), (0.25, -0.41), (0.48, -0.12)))),
        Layer("car.body", body, box(0, 0.12, 1.0, 0.24, 0.14)),
        Layer("car.lamp", (255, 238, 150), ellipse(0.9, 0.04, 0.09, 0.1)),
    ]
    for x, y in WHEELS["car"]:
        out += wheel("car", x, y)
    return out


def bus(t: Thing) -> list[Layer]:
    """Body with a stripe, four windows, lamp, two wheels."""
    body: Rgb = PAINTS[t.paint]
    out = [Layer("bus.body", body, box(0, -0.06, 1.0, 0.56, 0.12))]
    out.append(Layer("bus.body", shade(body, 0.7), box(0, 0.24, 1.0, 0.06)))
    for x in (-0.7, -0.25, 0.2, 0.68):
        out.append(Layer("bus.window", GLASS, box(x, -0.28, 0.18, 0.18, 0.04)))
    out.append(Layer("bus.lamp", (255, 238, 150), ellipse(0.91, 0.38, 0.08, 0.08)))
    for x, y in WHEELS["bus"]:
        out += wheel("bus", x, y)
    return out
