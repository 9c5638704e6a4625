"""Writes the tables of ``signaling/PROTOCOL.md`` from the messages and records themselves.

``python -m gateway.protocol_doc`` rewrites what stands between the markers; the prose around them is
written by people.  A test keeps the file current.
"""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Iterator
from pathlib import Path

import msgspec.inspect as shapes

from signaling import directive, messages, records
from signaling.session import CloseCode

TARGET = Path(messages.__file__).parents[1] / "PROTOCOL.md"
_MARKED = re.compile(r"(<!-- begin (\w+) -->\n).*?(<!-- end \2 -->)", re.DOTALL)


def render(text: str) -> str:
    """Return ``text`` with every marked table written anew."""
    tables = {
        "client": lambda: _union(messages.ClientMessage),
        "gateway": lambda: _union(messages.GatewayMessage),
        "link": lambda: _union(messages.LinkMessage),
        "records": lambda: _union(records.AnyRecord),
        "parts": _parts,
        "close": _close_codes,
        "header": _header,
    }
    return _MARKED.sub(lambda m: m[1] + "\n" + "\n".join(tables[m[2]]()) + "\n" + m[3], text)


def _union(union: object) -> Iterator[str]:
    for member in typing.get_args(union):
        shape = shapes.type_info(member)
        assert isinstance(shape, shapes.StructType)
        yield f"### `{shape.tag}`\n"
        yield from _struct(shape)


def _parts() -> Iterator[str]:
    """Yield the structures that appear inside messages, and the words they use, in alphabetical order."""
    found: dict[str, shapes.StructType | shapes.EnumType] = {}
    for union in (messages.ClientMessage, messages.GatewayMessage, messages.LinkMessage, records.AnyRecord):
        for member in typing.get_args(union):
            shape = shapes.type_info(member)
            assert isinstance(shape, shapes.StructType)
            for field in shape.fields:
                _collect(field.type, found)
    for name in sorted(found):
        part = found[name]
        yield f"### {name}\n"
        if isinstance(part, shapes.EnumType):
            yield f"{_sentence(part.cls)}One of {', '.join(f'`{member.value}`' for member in part.cls)}.\n"
        else:
            yield from _struct(part)


def _collect(shape: shapes.Type, found: dict[str, shapes.StructType | shapes.EnumType]) -> None:
    match shape:
        case shapes.StructType():
            if shape.cls.__name__ not in found:
                found[shape.cls.__name__] = shape
                for field in shape.fields:
                    _collect(field.type, found)
        case shapes.EnumType():
            found[shape.cls.__name__] = shape
        case shapes.UnionType():
            for part in shape.types:
                _collect(part, found)
        case shapes.VarTupleType():
            _collect(shape.item_type, found)
        case _:
            pass


def _struct(shape: shapes.StructType) -> Iterator[str]:
    if sentence := _sentence(shape.cls):
        yield f"{sentence.rstrip()}\n"
    if not shape.fields:
        return
    yield "| field | type | may be left out |"
    yield "|---|---|---|"
    for field in shape.fields:
        yield f"| `{field.encode_name}` | {_type(field.type)} | {'' if field.required else 'yes'} |"
    yield ""


def _type(shape: shapes.Type) -> str:
    match shape:
        case shapes.Metadata():
            return _type(shape.type)
        case shapes.StructType() | shapes.EnumType():
            return shape.cls.__name__
        case shapes.UnionType():
            return " or ".join(_type(part) for part in shape.types)
        case shapes.VarTupleType():
            most = "" if shape.max_length is None else f"at most {shape.max_length} "
            return f"list of {most}{_type(shape.item_type)}"
        case shapes.TupleType():
            return f"[{', '.join(_type(part) for part in shape.item_types)}]"
        case shapes.DictType():
            return f"object of {_type(shape.value_type)}"
        case _:
            return _scalar(shape)


def _scalar(shape: shapes.Type) -> str:
    match shape:
        case shapes.StrType():
            return "text" if shape.max_length is None else f"text, at most {shape.max_length} characters"
        case shapes.IntType():
            return "integer" if shape.ge is None else f"integer {shape.ge}..{shape.le}"
        case shapes.FloatType():
            return "number"
        case shapes.BoolType():
            return "true or false"
        case shapes.NoneType():
            return "null"
        case shapes.BytesType():
            return "base64 text"
        case _:
            raise TypeError(f"no words for {shape!r}")


def _close_codes() -> Iterator[str]:
    yield "| code | name |"
    yield "|---|---|"
    for code in CloseCode:
        yield f"| {int(code)} | {code.name.lower().replace('_', ' ')} |"
    yield ""


def _header() -> Iterator[str]:
    """Yield the states of a directive's header and what leads from one to the next, for a reader and for mermaid."""
    yield "```mermaid"
    yield "stateDiagram-v2"
    for state, steps in directive.TRANSITIONS.items():
        for record, after in steps.items():
            yield f"    {state} --> {after}: {record.__struct_config__.tag}"
    for state in directive.Header:
        if not directive.TRANSITIONS[state].keys() & {*directive.ENDED_BY.values(), records.DirectiveIssued}:
            yield f"    {state} --> [*]"
    yield "```"


def _sentence(cls: type) -> str:
    own = cls.__dict__.get("__doc__")
    if not own or own.startswith(f"{cls.__name__}("):
        return ""
    return " ".join(inspect.cleandoc(own).replace("``", "`").split()) + " "


def main() -> None:
    TARGET.write_text(render(TARGET.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
