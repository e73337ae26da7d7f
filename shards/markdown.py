"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: bool = False, aligned: bool = False) -> str:
    """Headings and rows of cells -> lines without a line break at the end.

    Args:
        numbers: all columns but the first are set flush right.
        aligned: cells are padded, so that the source reads as a table too.
    """
    body = [[str(cell) for cell in row] for row in rows]
    rule = ["---", *("---:" if numbers else "---" for _ in head[1:])]
    if aligned:
        widths = [max(len(line[column]) for line in (head, *body)) for column in range(len(head))]
        rule = [
            "-" * (width - 1) + ":" if mark.endswith(":") else "-" * width
            for mark, width in zip(rule, widths, strict=True)
        ]
        lines = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in (head, rule, *body)]
    else:
        lines = [list(line) for line in (head, rule, *body)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
