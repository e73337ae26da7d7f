"""Connected regions of masks as runs along their columns or rows, from which run lengths, boxes and areas follow.

A mask of N x N pixels has about N runs, so that regions are found among these and not among its pixels; and of many
small masks at once, since each call of numpy takes as long as a run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Places = NDArray[np.int64]
BY_HAND = 1 << 15
"""Runs from which on scipy joins them; below it takes longer to begin than all of the joining."""
MOST_PIXELS = 1 << 18
"""Pixels of the masks that are looked at together; a mask that has more is looked at alone."""


@dataclass(frozen=True)
class Region:
    """Pixels of a picture as runs along its lines (columns or rows), in order; no two touch within a line."""

    line: Places
    """int64 [run]: number of the line that each is in."""
    begin: Places
    """int64 [run]: place of its first pixel within the line."""
    end: Places
    """int64 [run]: place after its last."""
    area: int
    """Number of pixels."""
    box: tuple[int, int, int, int]
    """First line, least place, number of lines, and of places, that it reaches over."""
    lengths: list[int]
    """Of the runs of False, True, False, .. of all lines one after the other; only the first may be 0."""


def regions_of_each(masks: Sequence[NDArray[Any]], value: int, down: bool, joined: bool = True) -> list[list[Region]]:
    """Of each mask (HW) the connected regions (8 neighbours) of the pixels with this value, in the order of a scan.

    down: lines are columns, else rows. joined: else all such pixels of a mask are one region.
    """
    found: list[list[Region]] = []
    for group in alike(masks):
        pixels = np.stack(group) == value if len(group) > 1 else group[0][None] == value
        found += regions_of(pixels.transpose(0, 2, 1) if down else pixels, down, joined)
    return found


def alike(masks: Sequence[NDArray[Any]]) -> list[list[NDArray[Any]]]:
    """Neighbouring masks of one shape, of MOST_PIXELS together or one alone."""
    groups: list[list[NDArray[Any]]] = []
    for mask in masks:
        last = groups[-1] if groups else []
        if last and last[0].shape == mask.shape and (1 + len(last)) * mask.size <= MOST_PIXELS:
            last.append(mask)
        else:
            groups.append([mask])
    return groups


def regions_of(pixels: NDArray[np.bool_], down: bool = False, joined: bool = True) -> list[list[Region]]:
    """As `regions_of_each`, for a bool [mask, line, place] array."""
    num_masks, num_lines, length = pixels.shape
    found: list[list[Region]] = [[] for _ in range(num_masks)]
    mask, line, begin, end, first, last = runs_of(pixels)
    if not len(mask):
        return found
    names, count = named(first, last) if joined else named_by(mask)
    order = np.argsort(names, kind="stable")
    mask, line, begin, end = mask[order], line[order], begin[order], end[order]
    cuts = np.searchsorted(names[order], np.arange(count + 1))
    starts, stops = cuts[:-1], cuts[1:]
    least, most = np.minimum.reduceat(begin, starts), np.maximum.reduceat(end, starts)
    top = line[starts]
    boxes = np.stack([top, least, line[stops - 1] + 1 - top, most - least], axis=1).tolist()
    areas = np.add.reduceat(end - begin, starts).tolist()
    lengths = lengths_of(line * length + begin, line * length + end, cuts, num_lines * length)
    places = zip(mask[starts].tolist(), starts.tolist(), stops.tolist(), strict=True)
    for number, (owner, start, stop) in enumerate(places):
        runs = line[start:stop], begin[start:stop], end[start:stop]
        found[owner].append(Region(*runs, areas[number], tuple(boxes[number]), lengths[number]))
    if down:
        for regions in found:
            if len(regions) > 1:
                regions.sort(key=lambda region: int((region.begin * num_lines + region.line).min()))
    return found


def runs_of(pixels: NDArray[np.bool_]) -> tuple[Places, Places, Places, Places, Places, Places]:
    """Runs of True along the lines of a bool [mask, line, place] array, in order.

    Returns int64 [run]: mask, line, begin, end within the line; and which runs touch it in the line before, those from
    `first` to `last`, end excluded: where one begins no later than the place after the other's end.
    """
    num_masks, num_lines, length = pixels.shape
    stride = length + 1
    padded = np.zeros(num_masks * (num_lines + 1) * stride + 1, bool)  # False before each line, and a line of it before
    padded[:-1].reshape(num_masks, num_lines + 1, stride)[:, 1:, 1:] = pixels  # each mask, keep all apart
    edges = np.flatnonzero(padded[1:] != padded[:-1])
    begin, end = edges[::2], edges[1::2]
    first, last = np.searchsorted(end, begin - stride), np.searchsorted(begin, end - stride, side="right")
    line = begin // stride
    offset = line * stride
    mask = line // (num_lines + 1)
    return mask, line - mask * (num_lines + 1) - 1, begin - offset, end - offset, first, last


def named(first: Places, last: Places) -> tuple[Places, int]:
    """(number of the region that each run is in, in order of their first runs; number of regions)."""
    if len(first) > BY_HAND:
        return named_by_scipy(first, last)
    roots: list[int] = []  # of each run an earlier one of its region, or itself
    for run, (low, high) in enumerate(zip(first.tolist(), last.tolist(), strict=True)):
        root = roots[low] if low < high else run
        for other in range(low + 1, high):
            one, root = root_of(roots, other), root_of(roots, root)
            roots[max(one, root)] = root = min(one, root)
        roots.append(root)
    names: dict[int, int] = {}
    for run, root in enumerate(roots):
        roots[run] = roots[root]  # that of an earlier run is the first of its region already
    return np.array([names.setdefault(root, len(names)) for root in roots], np.int64), len(names)


def root_of(roots: list[int], run: int) -> int:
    """The run that the others of a region lead to."""
    while roots[run] != run:
        run = roots[run]
    return run


def named_by_scipy(first: Places, last: Places) -> tuple[Places, int]:
    """As `named`."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    counts = np.maximum(last - first, 0)
    ends = np.cumsum(counts)
    others = np.arange(ends[-1]) - np.repeat(ends - counts, counts) + np.repeat(first, counts)
    graph = csr_array((np.ones(len(others), bool), others, np.append(0, ends)), shape=(len(first),) * 2)
    return named_by(connected_components(graph, directed=False)[1])


def named_by(marks: NDArray[Any]) -> tuple[Places, int]:
    """Runs with the same mark have the same number, in order of their first runs."""
    _, firsts, places = np.unique(marks, return_index=True, return_inverse=True)
    rank = np.empty(len(firsts), np.int64)
    rank[np.argsort(firsts)] = np.arange(len(firsts))
    return rank[places], len(firsts)


def lengths_of(begin: Places, end: Places, cuts: Places, total: int) -> list[list[int]]:
    """`Region.lengths` of each region: its runs, by their places in all lines, are those from a cut to the next."""
    before = np.roll(end, 1)
    before[cuts[:-1]] = 0
    edges = np.stack([begin - before, end - begin], axis=1).ravel()
    rest = (total - end[cuts[1:] - 1]).tolist()
    flat, found = edges.tolist(), []
    for number, (start, stop) in enumerate(zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True)):
        lengths = flat[2 * start : 2 * stop]
        if rest[number]:
            lengths.append(rest[number])
        found.append(lengths if 0 not in lengths[1:] else merged(lengths))
    return found


def merged(lengths: list[int]) -> list[int]:
    """Runs of True that nothing is between, from the end of one line to the beginning of the next, made one."""
    found = lengths[:1]
    for place in range(1, len(lengths)):
        if place % 2 == 0 and lengths[place] == 0:
            continue
        if place % 2 and place > 1 and lengths[place - 1] == 0:
            found[-1] += lengths[place]
        else:
            found.append(lengths[place])
    return found
