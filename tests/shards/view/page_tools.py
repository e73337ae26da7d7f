"""Reading a page as a browser would, without one."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

VOID = {"meta", "img", "input", "br"}


@dataclass
class Page(HTMLParser):
    """Tags, attributes and texts of a page; `scripts` holds what runs."""

    source: str
    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    scripts: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        (self.scripts if self.open[-1:] == ["script"] else self.words).append(data)

    @property
    def text(self) -> str:
        return " ".join(self.words)

    def check(self) -> None:
        """Everything is closed, one script runs, it is the one that the policy names, and nothing else can."""
        assert not self.open
        assert len(self.scripts) == 1
        policy = next(str(attrs["content"]) for tag, attrs in self.tags if tag == "meta" and "http-equiv" in attrs)
        digest = base64.b64encode(hashlib.sha256(self.scripts[0].encode()).digest()).decode()
        assert f"script-src 'sha256-{digest}' 'strict-dynamic'" in policy
        for tag, attrs in self.tags:
            assert not [name for name in attrs if name.startswith("on")], tag
            assert "href" not in attrs
            assert str(attrs.get("src", "data:image/")).startswith("data:image/")

    @property
    def data(self) -> dict[str, Any]:
        """What the script is given."""
        found: dict[str, Any] = json.loads(self.scripts[0].split("\n")[0].removeprefix("const data=").removesuffix(";"))
        return found


def read_page(folder: Path) -> Page:
    return Page((folder / "index.html").read_text(encoding="utf-8"))


def read_entries(folder: Path) -> list[dict[str, Any]]:
    """The entries in the order in which the page has them."""
    found: list[dict[str, Any]] = []
    for number, name in enumerate(read_page(folder).data["files"]):
        text = (folder / name).read_text(encoding="ascii")
        match = re.fullmatch(r"blemishEntries\((\d+),(.*)\);\n", text, flags=re.DOTALL)
        assert match
        assert int(match[1]) == number
        found += json.loads(match[2])
    return found


def pixels(url: str) -> np.ndarray[Any, Any]:
    """uint8 HWC RGBA of a picture within the page."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGBA"))
