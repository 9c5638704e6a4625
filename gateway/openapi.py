"""The OpenAPI 3.1 description of the HTTP interface, made from the table in ``api.py``."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from . import api, bodies, problems
from .api import BASE, Endpoint
from .endpoints import people
from .forms import AlarmRequest

_PARAMETER = re.compile(r"\{(\w+)(?::((?:[^{}]|\{[^{}]*\})*))?\}")
_PROBLEM_STATUSES = (400, 401, 403, 404, 409, 413, 415, 422, 429, 503)
_JPEG = {"type": "string", "format": "binary", "contentMediaType": "image/jpeg"}
OPEN = (
    ("/healthz", "Alive: the event loop answers", {"200": "alive"}),
    ("/readyz", "Ready: every named check is well", {"200": "ready", "503": "which check is not, and why"}),
    ("/metrics", "Prometheus text", {"200": "metrics"}),
    (f"{BASE}/openapi.json", "This description", {"200": "OpenAPI 3.1"}),
)


def document() -> dict[str, Any]:
    """Return the whole description as JSON-ready objects."""
    endpoints = (*api.ENDPOINTS, people.SESSION)
    kinds = [endpoint.body for endpoint in endpoints if isinstance(endpoint.body, type)]
    _, components = msgspec.json.schema_components([*kinds, AlarmRequest], ref_template="#/components/schemas/{name}")
    paths: dict[str, dict[str, Any]] = {
        path: {"get": {"summary": summary, "security": [], "responses": _described(answers)}}
        for path, summary, answers in OPEN
    }
    for endpoint in endpoints:
        paths.setdefault(plain_path(endpoint.path), {})[endpoint.method.lower()] = _operation(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Wuji gateway", "version": "1"},
        "paths": paths,
        "components": {
            "schemas": {**components, "Problem": _problem_schema()},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
        "security": [{"bearer": []}],
    }


def plain_path(path: str) -> str:
    """Return a route's path without the patterns of its parameters."""
    return _PARAMETER.sub(lambda match: f"{{{match[1]}}}", path)


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    operation: dict[str, Any] = {"summary": endpoint.summary, "responses": _responses(endpoint)}
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "pattern": f"^{pattern}$"}}
        for name, pattern in _PARAMETER.findall(endpoint.path)
    ]
    parameters += [
        {"name": name, "in": "query", "required": False, "description": text, "schema": {"type": "string"}}
        for name, text in endpoint.query.items()
    ]
    if parameters:
        operation["parameters"] = parameters
    if endpoint.body is not None:
        operation["requestBody"] = {"required": True, "content": _content(endpoint.body)}
    if endpoint is people.SESSION:
        operation["security"] = []
    return operation


def _content(body: type[msgspec.Struct] | str) -> dict[str, Any]:
    if body == "sdp":
        return {bodies.SDP: {"schema": {"type": "string"}}}
    if body == "file":
        return {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    if body == "cap":
        return {kind: {"schema": {"type": "string"}} for kind in bodies.XML}
    if body == "csv":
        return {bodies.CSV: {"schema": {"type": "string"}}}
    if body == "alarm":
        alarm = {"$ref": "#/components/schemas/AlarmRequest"}
        form = {"type": "object", "required": ["alarm"], "properties": {"alarm": alarm, "snapshot": _JPEG}}
        return {bodies.MULTIPART: {"schema": form}, bodies.JSON: {"schema": alarm}}
    assert isinstance(body, type)
    return {bodies.JSON: {"schema": {"$ref": f"#/components/schemas/{body.__name__}"}}}


def _responses(endpoint: Endpoint) -> dict[str, Any]:
    kind = endpoint.gives if "/" in endpoint.gives else bodies.JSON
    fine: dict[str, Any] = {"description": endpoint.gives}
    if endpoint.gives != "nothing":
        fine["content"] = {kind: {"schema": {"type": "object"} if kind == bodies.JSON else {"type": "string"}}}
    problem = {"content": {problems.CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    refused = {str(code): {"description": problems.TITLES[code], **problem} for code in _PROBLEM_STATUSES}
    return {str(endpoint.status): fine, **refused}


def _described(answers: dict[str, str]) -> dict[str, Any]:
    return {status: {"description": text} for status, text in answers.items()}


def _problem_schema() -> dict[str, Any]:
    texts = {name: {"type": "string"} for name in ("type", "title", "detail", "code")}
    return {
        "type": "object",
        "description": "RFC 9457.  `code` is stable and repeats the last part of `type`.",
        "required": ["type", "title", "status", "detail", "code"],
        "properties": {**texts, "status": {"type": "integer"}},
    }
