"""Every field of a config with its type, its default and its meaning, read from where the field is defined.

The meaning is the string literal below the field, so that nothing is written twice.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from shards.build import hints_of, join, plain

WIDTH = 100


@dataclass(frozen=True)
class FieldDoc:
    """One value of a config."""

    name: str
    """Dotted path, such as corruption.injection.start_step."""
    kind: str
    """Its type, as written."""
    default: str
    """As Python writes it; "" where it must be given."""
    meaning: str
    is_group: bool = False
    """A group of further fields, which follow it."""


def fields_of(cls: Any, prefix: str = "", usual: Any = None) -> Iterator[FieldDoc]:
    """The fields of a dataclass and of the dataclasses within it, depth first, in the order of their definition.

    usual: what it is where nothing is said, if that is other than its own defaults. A group that may be None has its
    fields told after it.
    """
    written = literals_of(cls)
    hints = hints_of(cls)
    for field in dataclasses.fields(cls):
        kind, meaning = written.get(field.name, ("", ""))
        name, inner = join(prefix, field.name), hints[field.name]
        if dataclasses.is_dataclass(inner):
            about = (inspect.getdoc(inner) or "").partition("\n\n")[0]
            yield FieldDoc(name, "", "", meaning or " ".join(about.split()), is_group=True)
            yield from fields_of(inner, name, value_of(field, usual))
        else:
            default = default_of(field) if usual is None else repr(plain(getattr(usual, field.name)))
            yield FieldDoc(name, kind, default, meaning)
            optional = [one for one in typing.get_args(inner) if dataclasses.is_dataclass(one)]
            if optional and type(None) in typing.get_args(inner):
                yield from fields_of(optional[0], name)


def value_of(field: dataclasses.Field[Any], usual: Any) -> Any:
    """What a group is where nothing is said: of `usual`, else the field's default; None for none."""
    if usual is not None:
        return getattr(usual, field.name)
    return None if field.default_factory is dataclasses.MISSING else field.default_factory()


def default_of(field: dataclasses.Field[Any]) -> str:
    """The default as text, "" where there is none."""
    if field.default_factory is not dataclasses.MISSING:
        return repr(plain(field.default_factory()))
    return "" if field.default is dataclasses.MISSING else repr(plain(field.default))


def literals_of(cls: Any) -> dict[str, tuple[str, str]]:
    """Field -> (its type as written, the string literal below it), of a dataclass and those that it derives from."""
    found: dict[str, tuple[str, str]] = {}
    for base in reversed(cls.__mro__):
        if dataclasses.is_dataclass(base):
            found |= literals_in(textwrap.dedent(inspect.getsource(typing.cast(type, base))))
    return found


def literals_in(source: str) -> dict[str, tuple[str, str]]:
    """The same of one class's source."""
    defined = ast.parse(source).body[0]
    body = defined.body if isinstance(defined, ast.ClassDef) else []
    found: dict[str, tuple[str, str]] = {}
    for place, node in enumerate(body):
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        below = body[place + 1] if place + 1 < len(body) else None
        text = ""
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str):
            text = " ".join(below.value.value.split())
        found[node.target.id] = (kind_of(node.annotation), text)
    return found


def kind_of(annotation: ast.expr) -> str:
    """A type as a reader of a config wants it: `"a" | "b"` for a Literal, else as written."""
    named = isinstance(annotation, ast.Subscript) and isinstance(annotation.value, ast.Name)
    if named and typing.cast(ast.Name, typing.cast(ast.Subscript, annotation).value).id == "Literal":
        choices = typing.cast(ast.Subscript, annotation).slice
        items = choices.elts if isinstance(choices, ast.Tuple) else [choices]
        return " | ".join(ast.unparse(item) for item in items)
    return ast.unparse(annotation)


def arguments_of(function: Any, prefix: str = "", skip: int = 0) -> Iterator[FieldDoc]:
    """The same for options that are arguments, without the first `skip`; `Args:` of the docstring has their meaning."""
    known = dict(list(inspect.signature(function).parameters.items())[skip:])
    told = args_in(inspect.getdoc(function) or "")
    for name, one in known.items():
        empty = inspect.Parameter.empty
        kind = one.annotation if isinstance(one.annotation, str) else getattr(one.annotation, "__name__", "")
        default = "" if one.default is empty else repr(plain(one.default))
        yield FieldDoc(join(prefix, name), "" if one.annotation is empty else kind, default, told.get(name, ""))


def args_in(doc: str) -> dict[str, str]:
    """Argument -> meaning, of a docstring with an `Args:` part of lines `name: meaning`."""
    found: dict[str, str] = {}
    _, _, part = doc.partition("Args:\n")
    last = ""
    for line in part.splitlines():
        if not line.startswith("    "):
            break
        name, colon, text = line.strip().partition(": ")
        if colon and name.isidentifier() and not line.startswith("     "):
            last, found[name] = name, text
        elif last:
            found[last] += f" {line.strip()}"
    return found


def as_text(fields: Iterator[FieldDoc] | list[FieldDoc]) -> str:
    """Fields for a terminal: name, default and type on a line, the meaning below."""
    lines: list[str] = []
    for one in fields:
        told = f" = {one.default}" if one.default else ("" if one.is_group else " (must be given)")
        kind = f"   [{one.kind}]" if one.kind else ""
        lines.append(f"  {one.name}{told}{kind}")
        lines += textwrap.wrap(one.meaning, WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return "\n".join(lines)
