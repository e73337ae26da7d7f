"""Reference pages made from the code itself: command line, config fields, sample fields, reasons of rejects.

A hook of MkDocs (`hooks:` in mkdocs.yml), so that no page is copied by hand. Nothing here imports torch: commands come
from the argparse trees, fields and their meanings from the source of the dataclasses.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

COMMANDS = {
    "corruptor": "Make labelled shards, or one sample again",
    "shards": "Check, show, index, gather and import samples",
    "region_select": "Train and use a selector of regions",
    "detector": "Train, use and score a detector",
    "miniworld": "The embedded world",
}
"""Packages with a command line of their own, `python -m NAME`."""
META = ("Meta", "SourceMeta", "ModelMeta", "CorruptionMeta", "RegionMeta", "MaskMeta", "Component", "ChangeMeta")
GENERATED = "Generated from the code by `docs/generate.py`."


@dataclass(frozen=True)
class Field:
    """A field of a dataclass, as its source has it."""

    name: str
    kind: str
    default: str
    """"" where it must be given."""
    doc: str


@dataclass(frozen=True)
class Fields:
    """A dataclass, as its source has it."""

    doc: str
    fields: tuple[Field, ...]


def on_files(files: Any, config: Any) -> Any:
    """MkDocs asks for the pages of the site: ours are added."""
    from mkdocs.structure.files import File

    for uri, make in PAGES.items():
        files.append(File.generated(config, uri, content=make()))
    return files


def command_line() -> str:
    """Every verb of every package with its options."""
    parts = ["# Command line", GENERATED]
    for package, title in COMMANDS.items():
        module = importlib.import_module(f"{package}.__main__")
        parts += [f"## {title}", *commands(module.parser())]
    return "\n\n".join(parts) + "\n"


def commands(parser: argparse.ArgumentParser, help_text: str = "") -> Iterator[str]:
    """The usage of a parser and of all below it, as blocks of Markdown."""
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not below:
        yield f"### `{parser.prog}`"
        if help_text:
            yield sentence(help_text)
        yield f"```text\n{usage(parser)}\n```"
        options = [action for action in parser._actions if not isinstance(action, argparse._HelpAction)]
        if options:
            yield table(("option", "meaning"), [(f"`{name_of(a)}`", meaning(a, parser)) for a in options])
        if parser.epilog:
            example = parser.epilog.removeprefix("examples:").removeprefix("example:")
            yield f"```text\n{example.strip()}\n```"
    for action in below:
        texts = {choice.dest: choice.help or "" for choice in action._choices_actions}
        seen: set[int] = set()
        for name, child in action.choices.items():
            if id(child) not in seen:
                seen.add(id(child))
                yield from commands(child, texts.get(name, ""))


def usage(parser: argparse.ArgumentParser) -> str:
    """The usage line, wrapped for a page."""
    parser.formatter_class = lambda prog: argparse.HelpFormatter(prog, width=100)
    return parser.format_usage().removeprefix("usage: ").strip()


def name_of(action: argparse.Action) -> str:
    """`--set A.B=V`, or the name of an argument."""
    value = "" if action.nargs == 0 else str(action.metavar or (action.dest.upper() if action.option_strings else ""))
    if action.choices is not None and not action.metavar:
        value = "{" + ",".join(map(str, action.choices)) + "}"
    name = "/".join(action.option_strings) or ("" if value else action.dest)
    return f"{name} {value}".strip()


def meaning(action: argparse.Action, parser: argparse.ArgumentParser) -> str:
    """The help of an option with %(default)s and the like filled in."""
    return sentence(parser._get_formatter()._expand_help(action)) if action.help else ""


def config_page() -> str:
    """Every field of a run's config, the options of sources and policies, and the configs that come with us."""
    line = list(tree("corruptor.line.config:LineConfig"))
    parts = [
        "# Config fields",
        f"{GENERATED} A config is a Python file; `--set a.b=value` changes one field. An unknown field is an error "
        "that names the nearest one.",
        "## A run of the line",
    ]
    for path, fields in line:
        parts += [f"### `{path}`" if path else "### Top level", *described(fields, path)]
    parts.append("## Sources: `source.options`")
    parts += options_of("shards.source", "SOURCES")
    parts.append("## Region policies: `region.options`")
    parts += options_of("region_select.policy", "POLICIES")
    parts += ["## Configs that come with the package", *shipped()]
    return "\n\n".join(parts) + "\n"


def options_of(module: str, registry: str) -> Iterator[str]:
    """The options of everything that is registered by name."""
    for name, target in getattr(importlib.import_module(module), registry).items():
        where, _, attribute = target.partition(":")
        options = options_class(where, attribute)
        yield f"### `{name}`"
        if options:
            for path, fields in tree(f"{where}:{options}"):
                if path:
                    yield f"Below `{path}`:"
                yield from described(fields, path)
        else:
            yield from described(Fields("", arguments(where, attribute)), "")


def options_class(module: str, name: str) -> str:
    """The name of the dataclass that a class says its options are; "" where it takes arguments."""
    for node in ast.walk(class_node(module, name)):
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "Options" for t in node.targets):
            return ast.unparse(node.value)
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "Options" and node.value:
            return ast.unparse(node.value)
    return ""


def arguments(module: str, name: str) -> tuple[Field, ...]:
    """The arguments of a class's `__init__` as fields."""
    body = class_node(module, name).body
    init = next((node for node in body if isinstance(node, ast.FunctionDef) and node.name == "__init__"), None)
    if init is None:
        return ()
    names = init.args.args[1:]
    defaults = [""] * (len(names) - len(init.args.defaults)) + [ast.unparse(node) for node in init.args.defaults]
    doc = ast.get_docstring(init) or ""
    told = dict(re.findall(r"^\s*(\w+): (.+)$", doc, re.MULTILINE))
    pairs = zip(names, defaults, strict=True)
    return tuple(
        Field(arg.arg, ast.unparse(arg.annotation) if arg.annotation else "", default, told.get(arg.arg, ""))
        for arg, default in pairs
    )


def shipped() -> Iterator[str]:
    """The first sentence of each config file."""
    for folder in sorted(path for path in (ROOT / "configs").iterdir() if path.is_dir()):
        rows = []
        for path in sorted(folder.glob("*.py")):
            if not path.name.startswith("_"):
                doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
                rows.append((f"`{path.relative_to(ROOT)}`", escaped(doc.split("\n\n")[0])))
        yield table(("config", "what it is"), rows)


def schema() -> str:
    """The JSON of a sample, field by field, and the reasons of rejects."""
    parts = ["# Fields of a sample", f"{GENERATED} How they lie in files: [formats](formats.md)."]
    for name in META:
        parts += [f"## `{name}`", *described(fields_of("shards.schema", name), "")]
    reasons = importlib.import_module("shards.source").REASONS
    rows = [(f"`{reason}`", escaped(text)) for reason, text in reasons.items()]
    parts += ["## Reasons of rejects", table(("reason", "meaning"), rows)]
    return "\n\n".join(parts) + "\n"


def tree(target: str, path: str = "") -> Iterator[tuple[str, Fields]]:
    """A dataclass and those of its fields that are dataclasses, with the dotted path of each."""
    module, _, name = target.partition(":")
    fields = fields_of(module, name)
    inner = {field.name: located(module, field.kind) for field in fields.fields}
    plain = tuple(field for field in fields.fields if not inner[field.name])
    yield path, Fields(fields.doc, plain)
    for field in fields.fields:
        if inner[field.name]:
            yield from tree(inner[field.name], f"{path}.{field.name}" if path else field.name)


def fields_of(module: str, name: str) -> Fields:
    """The fields of a dataclass, those of its bases first."""
    node = class_node(module, name)
    found: dict[str, Field] = {}
    for base in node.bases:
        where = located(module, ast.unparse(base))
        if where:
            found |= {field.name: field for field in fields_of(*where.split(":")).fields}
    for at, statement in enumerate(node.body):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            after = node.body[at + 1] if at + 1 < len(node.body) else None
            doc = ""
            if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                doc = str(after.value.value)
            default = ast.unparse(statement.value) if statement.value else ""
            default = re.sub(r"field\(default_factory=(?:lambda: )?(.+)\)$", r"\1", default).replace("dict", "{}")
            found[statement.target.id] = Field(statement.target.id, ast.unparse(statement.annotation), default, doc)
    return Fields(ast.get_docstring(node) or "", tuple(found.values()))


def located(module: str, name: str) -> str:
    """Where a class that a module names is defined, "module:Class"; "" where it is no dataclass of ours."""
    if not name.isidentifier():
        return ""
    syntax = parsed(module)
    for node in syntax.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            marked = any("dataclass" in ast.unparse(mark) for mark in node.decorator_list)
            return f"{module}:{name}" if marked else ""
        if isinstance(node, ast.ImportFrom) and node.module and any(a.name == name for a in node.names):
            return located(node.module, name) if source_file(node.module) else ""
    return ""


def class_node(module: str, name: str) -> ast.ClassDef:
    """The syntax of a class. Raises KeyError where the module has none of that name."""
    for node in parsed(module).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return node
    raise KeyError(f"{module} defines no class {name}")


def parsed(module: str) -> ast.Module:
    """The syntax of a module of ours."""
    path = source_file(module)
    assert path is not None, module
    return ast.parse(path.read_text(encoding="utf-8"))


def source_file(module: str) -> Path | None:
    """The file of a module of ours, or None."""
    path = ROOT / Path(*module.split("."))
    return next((p for p in (path.with_suffix(".py"), path / "__init__.py") if p.is_file()), None)


def described(fields: Fields, path: str) -> Iterator[str]:
    """The words of a dataclass and a table of its fields."""
    if fields.doc:
        yield escaped(fields.doc)
    if fields.fields:
        begin = f"{path}." if path else ""
        rows = [
            (f"`{begin}{f.name}`", f"`{f.default}`" if f.default else "must be given", kind_words(f), sentence(f.doc))
            for f in fields.fields
        ]
        yield table(("field", "default", "type", "meaning"), rows)


def kind_words(field: Field) -> str:
    """The type, or the values that are allowed."""
    return "`" + re.sub(r"^Literal\[(.+)\]$", r"\1", field.kind).replace("|", "\\|") + "`"


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def sentence(text: str) -> str:
    """One line that begins with a capital and ends with a stop."""
    text = escaped(text)
    if not text:
        return ""
    first = text[0].upper() if re.match(r"[a-z]+[ ,;]", text) else text[0]
    return first + text[1:] + ("" if text[-1] in ".?!)`" else ".")


def escaped(text: str) -> str:
    """On one line; what Markdown would take for markup stays as it is."""
    text = " ".join(text.split())
    parts = re.split(r"(`[^`]*`)", text)
    quoted = [p if p.startswith("`") else re.sub(r"([*_<>\[\]|])", r"\\\1", p) for p in parts]
    return "".join(p.replace("|", "\\|") if p.startswith("`") else p for p in quoted)


PAGES: dict[str, Callable[[], str]] = {
    "reference/command_line.md": command_line,
    "reference/config.md": config_page,
    "reference/schema.md": schema,
}
"""Path below docs -> what makes the page."""
