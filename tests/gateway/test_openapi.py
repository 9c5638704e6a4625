"""The description of the interface is true of every route, and of nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import jsonschema  # type: ignore[import-untyped]
import msgspec
import pytest
from aiohttp import web

from gateway import api, forms, http, openapi
from tests.support.edge import settings, unused, well

SOCKETS = {"/ws", "/link"}


class _Nobody:
    """Stands for the services: routes are listed, none is called."""

    auth = None


def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, str]]:
    monkeypatch.setattr(http, "console_files", dict)
    app = http.application(
        settings(tmp_path), api=api.routes(cast("api.Services", _Nobody())), ws=unused, link=unused, readiness=well
    )
    return {
        (route.method.lower(), openapi.plain_path(_pattern(route.resource)))
        for route in app.router.routes()
        if route.method != "HEAD" and route.resource is not None
    }


def _pattern(resource: web.AbstractResource | Any) -> str:
    return str(resource.canonical)


def described() -> set[tuple[str, str]]:
    return {(method, path) for path, methods in openapi.document()["paths"].items() for method in methods}


def test_every_route_is_described_and_every_description_is_a_route(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = {("get", "/"), ("get", "/terminal.html")}
    assert served(tmp_path, monkeypatch) - pages - {("get", path) for path in SOCKETS} == described()


def test_every_reference_leads_somewhere_and_every_schema_is_one() -> None:
    document = openapi.document()
    schemas = document["components"]["schemas"]
    text = json.dumps(document)
    for name in schemas:
        jsonschema.Draft202012Validator.check_schema(schemas[name])
    for part in text.split('"#/components/schemas/')[1:]:
        assert part.split('"')[0] in schemas


def test_path_parameters_are_declared() -> None:
    for path, methods in openapi.document()["paths"].items():
        for method, operation in methods.items():
            declared = {item["name"] for item in operation.get("parameters", []) if item["in"] == "path"}
            used = {part.strip("{}") for part in path.split("/") if part.startswith("{")}
            assert declared == used, f"{method} {path}"


def test_only_what_is_meant_to_be_open_is_open() -> None:
    document = openapi.document()
    assert document["security"] == [{"bearer": []}]
    unguarded = {
        path for path, methods in document["paths"].items() for item in methods.values() if item.get("security") == []
    }
    assert unguarded == {"/healthz", "/readyz", "/metrics", "/api/v1/session", "/api/v1/openapi.json"}


def test_the_schema_of_a_form_says_what_the_decoder_takes() -> None:
    schemas = openapi.document()["components"]["schemas"]
    resolver = {"components": {"schemas": schemas}}
    for value, fine in (
        ({"title": "会商", "scope": [{"node": "430423000000"}]}, True),
        ({"title": "会商", "scope": []}, False),
        ({"title": "会商", "scope": [{"node": "430423000000"}], "x": 1}, False),
        ({"scope": [{"node": "430423000000"}]}, False),
    ):
        validator = jsonschema.Draft202012Validator({"$ref": "#/components/schemas/ConveneForm", **resolver})
        assert validator.is_valid(value) == fine
        try:
            msgspec.convert(value, forms.ConveneForm)
            taken = True
        except msgspec.ValidationError:
            taken = False
        assert taken == fine
