"""Write the TypeScript types of everything that crosses ``/ws``, from ``signaling/messages/``.

``python -m gateway.wire_ts`` rewrites ``gateway/console/src/wire.ts``; a test keeps it current.
Fields a client may leave out are optional; the gateway always sends every field.
"""

from __future__ import annotations

import inspect
import typing
from pathlib import Path

import msgspec.inspect as shapes

from signaling import messages

TARGET = Path(__file__).parent / "console" / "src" / "wire.ts"
HEADER = """// Generated from signaling/messages/ by `python -m gateway.wire_ts`.  Do not edit.

export const VERSION = {version}
"""


def render() -> str:
    """Return the whole text of ``wire.ts``."""
    printer = _Printer()
    printer.union("ClientMessage", messages.ClientMessage, sent_by_client=True)
    printer.union("GatewayMessage", messages.GatewayMessage, sent_by_client=False)
    return HEADER.format(version=messages.VERSION) + "\n" + "\n".join(printer.blocks)


class _Printer:
    """Collects one block per named type, in the order they are first needed."""

    def __init__(self) -> None:
        self.blocks: list[str] = []
        self._named: set[str] = set()

    def union(self, name: str, union: object, *, sent_by_client: bool) -> None:
        members = typing.get_args(union)
        for member in members:
            self._struct(shapes.type_info(member), optional_defaults=sent_by_client)
        names = "".join(f"\n  | {member.__name__}" for member in members)
        self.blocks.append(f"export type {name} ={names}\n")

    def _struct(self, shape: shapes.Type, *, optional_defaults: bool) -> str:
        assert isinstance(shape, shapes.StructType)
        name = shape.cls.__name__
        if name in self._named:
            return name
        self._named.add(name)
        lines = [] if shape.tag is None else [f"  {shape.tag_field}: {shape.tag!r}".replace("'", '"')]
        for field in shape.fields:
            mark = "?" if optional_defaults and not field.required else ""
            lines.append(f"  {field.encode_name}{mark}: {self._type(field.type, optional_defaults)}")
        body = "\n".join(lines)
        self.blocks.append(f"{_comment(shape.cls)}export interface {name} {{\n{body}\n}}\n")
        return name

    def _enum(self, shape: shapes.EnumType) -> str:
        name = shape.cls.__name__
        if name not in self._named:
            self._named.add(name)
            values = " | ".join(f'"{member.value}"' for member in shape.cls)
            self.blocks.append(f"{_comment(shape.cls)}export type {name} = {values}\n")
        return name

    def _type(self, shape: shapes.Type, optional_defaults: bool) -> str:
        match shape:
            case shapes.Metadata():
                return self._type(shape.type, optional_defaults)
            case shapes.StructType():
                return self._struct(shape, optional_defaults=optional_defaults)
            case shapes.EnumType():
                return self._enum(shape)
            case shapes.UnionType():
                return " | ".join(self._type(part, optional_defaults) for part in shape.types)
            case shapes.VarTupleType() | shapes.ListType():
                return f"ReadonlyArray<{self._type(shape.item_type, optional_defaults)}>"
            case shapes.TupleType():
                parts = ", ".join(self._type(part, optional_defaults) for part in shape.item_types)
                return f"readonly [{parts}]"
            case shapes.DictType():
                return f"Readonly<Record<string, {self._type(shape.value_type, optional_defaults)}>>"
            case _:
                return _scalar(shape)


def _scalar(shape: shapes.Type) -> str:
    match shape:
        case shapes.StrType() | shapes.BytesType():
            return "string"
        case shapes.IntType() | shapes.FloatType():
            return "number"
        case shapes.BoolType():
            return "boolean"
        case shapes.NoneType():
            return "null"
        case _:
            raise TypeError(f"no TypeScript for {shape!r}")


def _comment(cls: type) -> str:
    own = cls.__dict__.get("__doc__")
    if not own or own.startswith(f"{cls.__name__}("):
        return ""
    return f"/** {' '.join(inspect.cleandoc(own).split())} */\n"


def main() -> None:
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(render(), encoding="utf-8")


if __name__ == "__main__":
    main()
