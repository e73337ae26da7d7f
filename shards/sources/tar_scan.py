"""One pass over a tar's headers, from header to header: which members make a sample, where they lie, how large it is.

A sample is all members that follow each other and share their name up to the first dot of its base. What cannot become
a sample is a row as well, with the reason: a second image of a sample, a link to what is not there, a sparse member.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from shards.errors import UserError
from shards.guard.tar_walk import TarMember, TarWalk
from shards.sources.heads import LONG_HEAD, head_sides, record_sides
from shards.sources.stores import StoredFile
from shards.sources.tar_table import FLAW, IMAGE_MEMBERS, PARTS, Draft, TarIndex

LOCAL_CHUNK, REMOTE_CHUNK = 1 << 13, 1 << 14
HEAD, MAX_RECORD = 1 << 12, 1 << 16
REMOTE_TAIL = 1 << 22
"""Bytes behind the end mark of a remote tar that are looked at."""
SAVE_SECONDS = 30.0
MAX_KINDS = 8
MAX_SIDE = (1 << 31) - 1
ODD = re.compile(r"[^a-z0-9._-]")
Span = tuple[int, int]
NOWHERE: Span = (-1, -1)


class RangeView:
    """A file in which what lies close together is read at once."""

    def __init__(self, file: StoredFile) -> None:
        self.file = file
        self.chunk = REMOTE_CHUNK if file.remote else LOCAL_CHUNK
        self._start, self._data = 0, b""

    def at(self, offset: int, size: int) -> bytes:
        """`size` bytes from `offset`, fewer at the end of the file."""
        start = offset - self._start
        if start < 0 or start + size > len(self._data):
            self._start, self._data = offset, self.file.read(offset, max(size, self.chunk))
            start = 0
        return self._data[start : start + size]


@dataclass
class _Group:
    """Members of one sample on their way into the index."""

    name: str
    members: dict[str, Span] = field(default_factory=dict)
    flaws: dict[str, str] = field(default_factory=dict)
    """Extension -> why that member cannot be read."""
    heads: dict[str, bytes] = field(default_factory=dict)


def make_index(
    file: StoredFile, draft: Draft, save: Callable[[Draft], None], progress: Callable[[int], None]
) -> TarIndex:
    """Go on with `draft` to the end of the tar or to its first damage, saving it now and then."""
    scan = _Scan(file, draft)
    saved = time.monotonic()
    tail = REMOTE_TAIL if file.remote else max(file.size, 0)
    walk = TarWalk(scan.view.at, file.size, draft.resume_at, tail, read_on=True)
    try:
        for member in walk:
            if scan.take(member):
                progress(member.offset)
                if time.monotonic() - saved > SAVE_SECONDS:
                    save(draft)
                    saved = time.monotonic()
        draft.problem = walk.problem
    except UserError:
        save(draft)
        raise
    except OSError as error:
        draft.problem = error.strerror or str(error)
    scan.end_group()
    if draft.problem:
        draft.problem += compression(scan.view)
    draft.resume_at = -1
    save(draft)
    progress(file.size)
    return draft.index()


class _Scan:
    """Puts members together to samples, and these into the draft."""

    def __init__(self, file: StoredFile, draft: Draft) -> None:
        self.draft, self.view = draft, RangeView(file)
        self.group: _Group | None = None
        self._places: dict[str, Span] | None = None

    def take(self, member: TarMember) -> bool:
        """Take a member in; whether it began another sample."""
        stem, extension = split_member(member.name)
        if member.kind == "folder" or not extension or extension.startswith("."):
            return False
        group = self.group
        begins = group is None or stem != group.name or extension in group.members or extension in group.flaws
        if group is None or begins:
            self.end_group()
            group = self.group = _Group(stem)
            self.draft.resume_at = member.offset
        span, flaw = self._resolve(member)
        if flaw:
            group.flaws[extension] = flaw
            return begins
        group.members[extension] = span
        if self._places is not None:
            self._places[f"{stem}.{extension}"] = span
        if extension in IMAGE_MEMBERS:
            group.heads[extension] = self.view.at(span[0], min(span[1], HEAD))
        elif extension == "json" and span[1] <= MAX_RECORD:
            group.heads[extension] = self.view.at(*span)
        return begins

    def _resolve(self, member: TarMember) -> tuple[Span, str]:
        """Where a member's data lie, and why they cannot be read, else ""."""
        if member.kind == "file":
            return (member.data_offset, member.size), ""
        if member.kind not in ("link", "hard link"):
            return NOWHERE, f"a {member.kind} member, which is not read"
        if self._places is None:
            self._places = places_of(self.draft, self.group)
        target = member.link
        if member.kind == "link":
            target = posixpath.normpath(posixpath.join(posixpath.dirname(member.name), target))
        stem, extension = split_member(target)
        span = self._places.get(f"{stem}.{extension}")
        lost = f"a {member.kind} to {target[:80]!a}, which the tar does not hold before it"
        return (span, "") if span else (NOWHERE, lost)

    def end_group(self) -> None:
        """The members so far become a row, and one more for each image that is not used."""
        group, self.group = self.group, None
        if group is None:
            return
        images = [name for name in IMAGE_MEMBERS if name in group.members]
        image = images[0] if images else ""
        spans = [group.members.get(part, NOWHERE) for part in (image, "json", "txt")]
        flawed = [(name, group.flaws[name]) for name in IMAGE_MEMBERS if name in group.flaws]
        if image:
            self._add(group, spans, kinds_of(group), self._sides(group, image))
        elif not flawed:
            self._add(group, spans, kinds_of(group), (0, 0))
        for other in images[1:]:
            self._add(group, [NOWHERE] * len(PARTS), f"{FLAW}extra_image {other} beside {image}, which is used", (0, 0))
        for name, flaw in flawed:
            self._add(group, [NOWHERE] * len(PARTS), f"{FLAW}unreadable {name}: {flaw}", (0, 0))

    def _add(self, group: _Group, spans: list[Span], kind: str, sides: tuple[int, int]) -> None:
        self.draft.names.append(group.name.encode("utf-8", "surrogateescape"))
        self.draft.spans.append(spans)
        self.draft.sides.append((min(sides[0], MAX_SIDE), min(sides[1], MAX_SIDE)))
        self.draft.kinds.append(kind)

    def _sides(self, group: _Group, image: str) -> tuple[int, int]:
        """(width, height) as the picture's head says, else its JSON, else more of the head; 0, 0 where none does."""
        sides = head_sides(group.heads.get(image, b"")) or record_sides(group.heads.get("json", b""))
        if sides is None:
            offset, size = group.members[image]
            with contextlib.suppress(OSError):
                sides = head_sides(self.view.at(offset, min(size, LONG_HEAD)))
        return sides or (0, 0)


def kinds_of(group: _Group) -> str:
    """Extensions of a sample's members, in order, joined by commas; cut where there are many."""
    shown = sorted(ODD.sub("_", name[:32]) for name in (*group.members, *group.flaws))
    if len(shown) > MAX_KINDS:
        shown = [*sorted(shown, key=lambda name: name not in IMAGE_MEMBERS)[:MAX_KINDS], "..."]
    return ",".join(shown)


def places_of(draft: Draft, group: _Group | None) -> dict[str, Span]:
    """Where the members lie that a link may mean; made when the first link is met."""
    places: dict[str, Span] = {}
    for name, spans, kind in zip(draft.names, draft.spans, draft.kinds, strict=True):
        stem = name.decode("utf-8", "surrogateescape")
        image = next((one for one in IMAGE_MEMBERS if one in kind.split(",")), "")
        for extension, span in zip((image, "json", "txt"), spans, strict=True):
            if span[0] >= 0:
                places[f"{stem}.{extension}"] = span
    for extension, span in (group.members if group else {}).items():
        places[f"{group.name if group else ''}.{extension}"] = span
    return places


def compression(view: RangeView) -> str:
    """A hint where a tar is compressed."""
    with contextlib.suppress(OSError):
        if view.at(0, 6).startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")):
            return "; unpack it first, compressed tars cannot be read by position"
    return ""


def split_member(name: str) -> tuple[str, str]:
    """ "a/b.c/x.source.webp" -> ("a/b.c/x", "source.webp"); extensions in lower case."""
    folder, base = os.path.split(name)
    stem, _, extension = base.partition(".")
    return os.path.join(folder, stem), extension.lower()
