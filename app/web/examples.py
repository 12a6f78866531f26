"""Examples of the schema: a model's own as it was written, and one made of its members' where it has none."""

from collections.abc import Iterator
from typing import Any, Final, get_args

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel

_JSON: Final = "application/json"
_REFERENCE: Final = "#/components/schemas/"


class _NothingToShowError(Exception):
    """A schema says too little to make an example from."""


def complete(app: FastAPI, document: dict[str, Any]) -> None:
    """Give the JSON bodies of `document` whole examples.

    What a model says of itself stands. A body that says nothing is shown by the examples and defaults of its members:
    a page by an item, a request by its fields. Where a required member has none, it stays without.
    """
    components = document["components"]["schemas"]
    _restore(app, components)
    for name in _bodies(document):
        if "examples" not in components[name]:
            try:
                components[name]["examples"] = [_composed(components[name], components)]
            except _NothingToShowError:
                continue


def _restore(app: FastAPI, components: dict[str, Any]) -> None:
    """Put models' examples back as they are: FastAPI leaves every null out of the document, theirs too."""
    for route in iter_route_contexts(app.routes):
        for model in _models(getattr(route, "response_model", None)):
            extra = model.model_config.get("json_schema_extra")
            if isinstance(extra, dict) and "examples" in extra:
                components[model.__name__]["examples"] = extra["examples"]


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The model that an annotation is, or that it is made of, and those within."""
    within = get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        within = tuple(field.annotation for field in annotation.model_fields.values())
    for each in within:
        yield from _models(each)


def _bodies(document: dict[str, Any]) -> Iterator[str]:
    """The components that requests and successful answers consist of."""
    for operations in document["paths"].values():
        for operation in operations.values():
            answers = [body for status, body in operation["responses"].items() if status.startswith("2")]
            for body in (operation.get("requestBody", {}), *answers):
                schema = body.get("content", {}).get(_JSON, {}).get("schema", {})
                for each in (schema, *schema.get("anyOf", ())):
                    if "$ref" in each:
                        yield each["$ref"].removeprefix(_REFERENCE)


def _composed(schema: dict[str, Any], components: dict[str, Any]) -> Any:
    """What `schema` shows of itself, or its members of themselves; raises _NothingToShowError."""
    if "examples" in schema:
        return schema["examples"][0]
    for said in ("default", "const"):
        if said in schema:
            return schema[said]
    if "$ref" in schema:
        return _composed(components[schema["$ref"].removeprefix(_REFERENCE)], components)
    if "properties" in schema:
        return _object(schema, components)
    if "items" in schema:
        return [_composed(schema["items"], components)]
    if {"type": "null"} in schema.get("anyOf", ()):
        return None
    raise _NothingToShowError


def _object(schema: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    """Every member that is required, and the others that show something."""
    shown = {}
    for name, member in schema["properties"].items():
        if name in schema.get("required", ()) or "examples" in member or "default" in member:
            shown[name] = _composed(member, components)
    return shown
