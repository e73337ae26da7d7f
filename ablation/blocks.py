"""A report as blocks: headings, texts, tables, figures; written as Markdown or as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import Any

from PIL import Image

from shards.document import data_url, document, text
from shards.markdown import table

WIDTH = 118
"""Of Markdown, in characters."""
UNBROKEN: Any = {"break_long_words": False, "break_on_hyphens": False}
READABLE = 0.62
"""Share of its size below which a figure is not shrunk on a small screen: it is moved sideways instead."""


@dataclass(frozen=True)
class Heading:
    text: str


@dataclass(frozen=True)
class Text:
    text: str


@dataclass(frozen=True)
class Bullets:
    items: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Figure:
    """A picture file and what it shows."""

    path: Path
    text: str


Block = Heading | Text | Bullets | Table | Figure


def as_markdown(title: str, blocks: Sequence[Block], out: Path) -> str:
    """The report as a page whose pictures lie below OUT; no title, no head."""
    parts = [f"# {title}"] if title else []
    for block in blocks:
        if isinstance(block, Heading):
            parts.append(f"## {block.text}")
        elif isinstance(block, Text):
            parts.append(fill(block.text, WIDTH, **UNBROKEN))
        elif isinstance(block, Bullets):
            parts.append(
                "\n".join(fill(f"- {item}", WIDTH, subsequent_indent="  ", **UNBROKEN) for item in block.items)
            )
        elif isinstance(block, Table):
            parts += [f"**{block.title}**", *(table(*part, aligned=True) for part in fitted(block))]
        else:
            parts.append(f"![{block.text}]({block.path.relative_to(out).as_posix()})")
    return "\n\n".join(parts) + "\n"


def fitted(block: Table) -> list[tuple[list[str], list[list[str]]]]:
    """Columns and rows of as many tables as are needed for a page's width, each with the first column."""
    lines = [[escaped(cell) for cell in line] for line in (block.columns, *block.rows)]
    widths = [max(len(line[i]) for line in lines) + 3 for i in range(len(block.columns))]
    groups: list[list[int]] = [[0]]
    for column in range(1, len(widths)):
        if len(groups[-1]) > 1 and sum(widths[i] for i in groups[-1]) + widths[column] >= WIDTH:
            groups.append([0])
        groups[-1].append(column)
    chosen = [[[line[i] for i in group] for line in lines] for group in groups]
    return [(part[0], part[1:]) for part in chosen]


def escaped(text: str) -> str:
    """A cell that does not end the column."""
    return " ".join(text.split()).replace("|", "\\|")


STYLE = """
body{font:16px/1.5 system-ui,sans-serif;color:#222;background:#fff;max-width:62rem;margin:0 auto;padding:1rem}
h1{font-size:1.5rem;line-height:1.25}h2{font-size:1.2rem;margin-top:2rem}
.wide{overflow-x:auto;margin:.5rem 0 1.5rem}figure .wide{margin:0}table{border-collapse:collapse;font-size:.85rem}
caption{text-align:left;font-weight:600;padding:.3rem 0}th,td{padding:.25rem .6rem;text-align:right}
th{border-bottom:2px solid #888;vertical-align:bottom}td{border-bottom:1px solid #ddd;white-space:nowrap}
th:first-child,td:first-child{text-align:left;position:sticky;left:0;background:#fff;white-space:normal;min-width:7rem}
figure{margin:1rem 0}img{max-width:100%;height:auto}figcaption{font-size:.85rem;color:#555}code{overflow-wrap:anywhere}
""".strip()


def as_html(title: str, blocks: Sequence[Block]) -> str:
    """One page with its pictures inside: nothing is fetched, no script runs. Raises OSError for a missing picture."""
    return document(title, STYLE, [html_of(block) for block in blocks])


def html_of(block: Block) -> str:
    """One block."""
    if isinstance(block, Heading):
        return f"<h2>{text(block.text)}</h2>"
    if isinstance(block, Text):
        return f"<p>{code(text(block.text))}</p>"
    if isinstance(block, Bullets):
        return "<ul>" + "".join(f"<li>{code(text(item))}</li>" for item in block.items) + "</ul>"
    if isinstance(block, Table):
        head = "".join(f"<th>{text(one)}</th>" for one in block.columns)
        rows = "".join("<tr>" + "".join(f"<td>{text(cell)}</td>" for cell in row) + "</tr>" for row in block.rows)
        return (
            f'<div class="wide"><table><caption>{text(block.title)}</caption>'
            f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
        )
    told = text(block.text)
    source = data_url(block.path.read_bytes(), block.path.suffix)
    with Image.open(block.path) as picture:
        least = round(picture.width * READABLE)
    image = f'<img src="{source}" alt="{told}" style="min-width:{least}px">'
    return f'<figure><div class="wide">{image}</div><figcaption>{told}</figcaption></figure>'


def code(text: str) -> str:
    """What stands between backticks, set as code."""
    parts = text.split("`")
    return "".join(f"<code>{part}</code>" if i % 2 and i < len(parts) - 1 else part for i, part in enumerate(parts))
