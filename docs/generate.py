"""Reference pages made from the code itself: command line, config fields, sample fields, reasons of rejects.

A hook of MkDocs (`hooks:` in mkdocs.yml), so that no page is copied by hand: commands come from the argparse trees,
fields and their meanings from the source of the dataclasses.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from shards.markdown import table  # noqa: E402

META: tuple[str, ...] = ("Meta", "SourceMeta", "ModelMeta", "CorruptionMeta", "RegionMeta", "MaskMeta", "Component")
META += ("ChangeMeta", "SizeMeta")
GENERATED = "Generated from the code by `docs/generate.py`."
Rows = list[tuple[str, ...]]


def on_files(files: Any, config: Any) -> Any:
    """MkDocs asks for the pages of the site: ours are added."""
    from mkdocs.structure.files import File

    for uri, make in PAGES.items():
        files.append(File.generated(config, uri, content=make()))
    return files


def command_line() -> str:
    """Every verb of `blemish` with its options."""
    from blemish.command import VERBS

    parts = [
        "# Command line",
        f"{GENERATED} `blemish VERB --help` prints the same. Each package also answers to `python -m PACKAGE`, as "
        "launchers such as torchrun need: `-m corruptor shards`, `-m detector train`.",
    ]
    for name, verb in VERBS.items():
        module = importlib.import_module(verb.module)
        if verb.is_group:
            parts += [f"## `blemish {name}`", sentence(verb.help), *commands(module.parser(f"blemish {name}"))]
        else:
            child = below(module.parser("blemish"))[name]
            parts += [f"## `blemish {name}`", sentence(verb.help), *(commands(child) if below(child) else body(child))]
    return "\n\n".join(parts) + "\n"


def below(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The verbs of a parser."""
    found = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(found[0].choices) if found else {}


def commands(parser: argparse.ArgumentParser) -> Iterator[str]:
    """A heading and the usage of each verb of a parser, as blocks of Markdown."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            texts = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for name, child in action.choices.items():
                yield f"### `{child.prog}`"
                if texts.get(name):
                    yield sentence(texts[name])
                yield from body(child)


def body(parser: argparse.ArgumentParser) -> Iterator[str]:
    """The usage, the options and the example of one command."""
    parser.formatter_class = lambda prog: argparse.HelpFormatter(prog, width=100)
    yield f"```text\n{parser.format_usage().removeprefix('usage: ').strip()}\n```"
    shown = [a for a in parser._actions if not isinstance(a, argparse._HelpAction) and a.help != argparse.SUPPRESS]
    if shown:
        yield table(("option", "meaning"), [(f"`{name_of(a)}`", meaning_of(a, parser)) for a in shown])
    example = re.sub(r"^examples?:", "", (parser.epilog or "").strip()).strip()
    if example:
        yield f"```text\n{example}\n```"


def name_of(action: argparse.Action) -> str:
    """`--set A.B=V`, or the name of an argument."""
    value = "" if action.nargs == 0 else str(action.metavar or (action.dest.upper() if action.option_strings else ""))
    if action.choices is not None and not action.metavar:
        value = "{" + ",".join(map(str, action.choices)) + "}"
    name = "/".join(action.option_strings) or ("" if value else action.dest)
    return f"{name} {value}".strip()


def meaning_of(action: argparse.Action, parser: argparse.ArgumentParser) -> str:
    """The help of an option with %(default)s and the like filled in."""
    return sentence(parser._get_formatter()._expand_help(action)) if action.help else ""


def config_page() -> str:
    """Every field of a run's config, the options of sources and policies, and the configs that come with us."""
    from corruptor.line.fields import sections

    parts = [
        "# Config fields",
        f"{GENERATED} `blemish config fields` prints the same. A config is a Python file; `--set a.b=value` changes "
        "one field. An unknown field is an error that names the nearest one.",
    ]
    for title, fields in sections():
        name = re.search(r"'(\w+)'$", title)
        key = title.split(" where ")[0]
        parts += [f"## `{key}` of `{name.group(1)}`" if name else f"## {title}", *described(fields, level=3)]
    return "\n\n".join([*parts, "## Configs that come with the package", *shipped()]) + "\n"


def shipped() -> Iterator[str]:
    """The first sentence of each config file."""
    for folder in sorted(path for path in (ROOT / "configs").iterdir() if path.is_dir()):
        rows: Rows = []
        for path in sorted(folder.glob("*.py")):
            if not path.name.startswith("_"):
                doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
                rows.append((f"`{path.relative_to(ROOT)}`", escaped(doc.split("\n\n")[0])))
        if rows:
            yield table(("config", "what it is"), rows)


def schema() -> str:
    """The JSON of a sample, field by field, and the reasons of rejects."""
    from shards import schema as module
    from shards.fields import fields_of
    from shards.source import REASONS

    parts = ["# Fields of a sample", f"{GENERATED} How they lie in files: [formats](formats.md)."]
    for name in META:
        cls = getattr(module, name)
        own = [field for field in fields_of(cls) if "." not in field.name]
        parts += [
            f"## `{name}`",
            escaped((cls.__doc__ or "").partition("\n\n")[0]),
            *described(own, level=3, flat=True),
        ]
    rows: Rows = [(f"`{reason}`", escaped(text)) for reason, text in REASONS.items()]
    return "\n\n".join([*parts, "## Reasons of rejects", table(("reason", "meaning"), rows)]) + "\n"


def described(fields: Iterable[Any], level: int, flat: bool = False) -> Iterator[str]:
    """Fields as tables: first those of the top level, then a heading and a table for each group, unless `flat`."""
    groups: dict[str, tuple[str, Rows]] = {}
    for field in fields:
        if field.is_group and not flat:
            groups[field.name] = (sentence(field.meaning), [])
            continue
        default = f"`{field.default}`" if field.default else "" if field.is_group else "must be given"
        kind = f"`{field.kind}`" if field.kind else "group"
        parent = field.name.rpartition(".")[0]
        rows = groups.setdefault(parent if parent in groups else "", ("", []))[1]
        rows.append((f"`{field.name}`", default, kind, sentence(field.meaning)))
    for name in sorted(groups, key=bool):
        about, rows = groups[name]
        if name:
            yield f"{'#' * level} `{name}`"
        if about:
            yield about
        if rows:
            yield table(("field", "default", "type", "meaning"), rows)


def sentence(text: str) -> str:
    """One line that begins with a capital and ends with a stop."""
    text = escaped(text)
    if not text:
        return ""
    first = text[0].upper() if re.match(r"[a-z]+[ ,;]", text) else text[0]
    return first + text[1:] + ("" if text[-1] in ".?!)`" else ".")


def escaped(text: str) -> str:
    """On one line; what Markdown would take for markup stays as it is, and so does code, also within tables."""
    parts = re.split(r"(`[^`]*`)", " ".join(text.split()))
    return "".join(p if p.startswith("`") else re.sub(r"([*_<>\[\]|])", r"\\\1", p) for p in parts)


PAGES: dict[str, Callable[[], str]] = {
    "reference/command_line.md": command_line,
    "reference/config.md": config_page,
    "reference/schema.md": schema,
}
"""Path below docs -> what makes the page."""
