"""Regions as polygons along the edges of their pixels, so that who fills them has the same pixels again."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shards.export.runs import Region


def polygons_of(region: Region) -> list[list[int]]:
    """A region by columns -> its outlines [x, y, x, y, ..] in pixels, whole numbers; [] where it has a hole.

    Pixels that meet at a corner alone are in outlines of their own, or in one that touches itself there: a hole that is
    closed by corners alone is none. Neighbouring points are never on one line.
    """
    left, top, width, height = region.box
    pixels = np.zeros((height + 2, width + 2), bool)
    pixels[1:-1, 1:-1] = filled(region).T
    rows, columns, is_east, is_south = corners(pixels)
    across = partners(np.lexsort((is_east, columns, rows)))
    down = partners(np.lexsort((is_south, rows, columns)))
    outlines, done = [], [False] * len(rows)
    xs, ys = (columns + left).tolist(), (rows + top).tolist()
    begins = pixels[1:, 1:][rows, columns].tolist()
    for first in range(len(rows)):  # in scan order, so that each is met at its highest corner, of those the leftmost
        if done[first]:
            continue
        if not begins[first]:  # the pixel below and right of it is none of the region's: the outline of a hole
            return []
        outline: list[int] = []
        corner = first
        while not done[corner]:
            for step in (across, down):
                done[corner] = True
                outline += xs[corner], ys[corner]
                corner = step[corner]
        outlines.append(outline)
    return outlines


def filled(region: Region) -> NDArray[np.bool_]:
    """bool [line, place] of the region within its box."""
    first, least, lines, places = region.box
    steps = np.zeros(lines * (places + 1), np.int8)
    offset = (region.line - first) * (places + 1) - least
    steps[offset + region.begin] = 1
    steps[offset + region.end] = -1
    inside: NDArray[np.bool_] = np.cumsum(steps, dtype=np.int8).reshape(lines, places + 1)[:, :-1] == 1
    return inside


def corners(pixels: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[Any], NDArray[Any]]:
    """Where outlines turn, in scan order: rows and columns of the grid between the pixels of an array whose rim is
    False; whether the edge that meets there goes east, and whether the other goes south.

    Where two pixels meet at a corner alone, that is two corners, one for each pixel.
    """
    west_north, east_north = pixels[:-1, :-1], pixels[:-1, 1:]
    west_south, east_south = pixels[1:, :-1], pixels[1:, 1:]
    number = west_north.astype(np.int8) + east_north + west_south + east_south
    meets = (number == 2) & (west_north == east_south)
    turns = (number & 1).astype(np.int64) + 2 * meets
    rows, columns = np.nonzero(turns)
    copies = turns[rows, columns]
    rows, columns = np.repeat(rows, copies), np.repeat(columns, copies)
    both = meets[rows, columns]
    is_second = np.zeros(len(rows), bool)
    is_second[np.flatnonzero(both)[1::2]] = True
    # A single corner: the edges are those that lie between a pixel of the region and one that is none.
    east = np.where(both, is_second, (east_north != east_south)[rows, columns])
    south = np.where(both, is_second == west_north[rows, columns], (west_south != east_south)[rows, columns])
    return rows, columns, east, south


def partners(order: NDArray[np.int64]) -> list[int]:
    """The corner at the other end of each corner's edge: in this order every first is joined with the second after."""
    found = np.empty(len(order), np.int64)
    found[order[::2]], found[order[1::2]] = order[1::2], order[::2]
    return found.tolist()
