"""The tables of a grid in a page of the docs, between two marks that name the grid."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ablation.blocks import Figure, Heading, as_markdown
from ablation.report import blocks_of
from shards.errors import ConfigError, MissingInputError
from shards.files import write_bytes


def write_docs(page: Path, name: str, results: Mapping[str, Any]) -> None:
    """Put sentences and tables between the marks of NAME. Raises MissingInputError, ConfigError, OutputError."""
    kept = [block for block in blocks_of(results, ()) if not isinstance(block, (Heading, Figure))]
    text = as_markdown("", [*kept[1:], kept[0]], page.parent)
    write_bytes(page, between(read_page(page), name, text).encode())


def check_docs(page: Path, name: str) -> None:
    """Raise, before hours are spent, what `write_docs` would."""
    between(read_page(page), name, "")


def read_page(page: Path) -> str:
    if not page.is_file():
        raise MissingInputError(
            f"--docs {page} does not exist; name a page with the marks {marks('GRID')[0]!r} and so on"
        )
    return page.read_text(encoding="utf-8")


def marks(name: str) -> tuple[str, str]:
    return f"<!-- {name}: begin -->", f"<!-- {name}: end -->"


def between(page: str, name: str, text: str) -> str:
    """The page with what stands between the marks replaced. Raises ConfigError where the marks are not there."""
    begin, end = marks(name)
    if page.count(begin) != 1 or page.count(end) != 1 or page.index(begin) > page.index(end):
        raise ConfigError(f"the page has no line '{begin}' followed by '{end}'; add both where the tables belong")
    before, rest = page.split(begin)
    return f"{before}{begin}\n\n{text.strip()}\n\n{end}{rest.split(end)[1]}"
