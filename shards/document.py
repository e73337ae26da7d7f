"""A page of HTML that needs nothing else: text escaped, pictures inside, and no script but its own.

Names, captions and paths come from outside. In HTML they pass `text`; in a script they are JSON of `script_json`, which
holds no character that could end the script, and the script puts them on the page as text. Should one slip through all
the same, the page's content security policy runs no script but those that are named in it by their sha256, and fetches
nothing.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Sequence

TYPES = {".png": "image/png", ".webp": "image/webp", ".jpg": "image/jpeg"}
LOCKED = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
UNSAFE = {ord(char): f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}


def text(value: object) -> str:
    """Any value as text that HTML takes for nothing else, between tags and in quoted attributes."""
    return html.escape(str(value).encode("utf-8", "backslashreplace").decode())


def script_json(value: object) -> str:
    """Plain values as JSON in ASCII that may stand in a script: no tag, no comment, no line end of JavaScript."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).translate(UNSAFE)


def data_url(data: bytes, suffix: str) -> str:
    """A picture file within the page; `suffix` is that of the file, such as ".webp"."""
    return f"data:{TYPES[suffix]};base64,{base64.b64encode(data).decode('ascii')}"


def document(title: str, style: str, body: Sequence[str], script: str = "") -> str:
    """A whole page.

    Args:
        title: plain text, of the window and of the page's heading.
        style: CSS. body: HTML, whose texts are escaped.
        script: JavaScript that runs at the end of the page; it may load files of its own beside the page.
    """
    told, policy, closing = text(title), LOCKED, ""
    if script:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
        policy += f"; script-src 'sha256-{digest}' 'strict-dynamic'"
        closing = f"<script>{script}</script>\n"
    head = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{told}</title><style>{style}</style></head><body>\n<h1>{told}</h1>"
    )
    return "\n".join([head, *body, f"{closing}</body></html>"]) + "\n"
