"""Every model that strangers fill is strict and bounded: so that no field forgets it."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
from annotated_types import Ge, Le, MaxLen
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import AfterValidator, BaseModel

from app.api import ROUTERS
from app.core.text import clean
from app.web.routing import Route

ROUTES = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
MAX_INT = 2**63 - 1


def parts(annotation: Any, metadata: tuple[Any, ...] = ()) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """The plain types of an annotation, each with all that is said about it."""
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *more = get_args(annotation)
        yield from parts(inner, (*metadata, *more))
    elif origin is Union or type(annotation).__name__ == "UnionType":
        for choice in get_args(annotation):
            yield from parts(choice, metadata)
    elif origin is list:
        yield list, metadata
        yield from parts(get_args(annotation)[0])
    else:
        yield annotation, metadata


def fields(model: type[BaseModel]) -> Iterator[tuple[str, Any, tuple[Any, ...]]]:
    for name, field in model.model_fields.items():
        for kind, metadata in parts(field.annotation, tuple(field.metadata)):
            yield f"{model.__name__}.{name}", kind, metadata


def models() -> set[type[BaseModel]]:
    """Every model of a body, and those within it."""
    found: set[type[BaseModel]] = set()
    open_models = [
        kind
        for route in ROUTES
        if route.body_field is not None
        for kind, _ in parts(route.body_field.field_info.annotation)
        if kind is not type(None)
    ]
    while open_models:
        model = open_models.pop()
        found.add(model)
        open_models += [
            kind
            for _, kind, _ in fields(model)
            if isinstance(kind, type) and issubclass(kind, BaseModel) and kind not in found
        ]
    return found


def flat(metadata: tuple[Any, ...]) -> Iterator[Any]:
    """Metadata with the groups among it taken apart: `Field(…)` and `StringConstraints(…)` are some."""
    for item in metadata:
        yield item
        if hasattr(item, "metadata"):
            yield from flat(tuple(item.metadata))
        elif hasattr(item, "__iter__"):
            yield from flat(tuple(item))


def pattern(items: list[Any]) -> bool:
    return any(getattr(item, "pattern", None) for item in items)


def complaint(kind: Any, metadata: tuple[Any, ...]) -> str | None:
    """What a field lacks."""
    items = list(flat(metadata))
    if kind is str and not pattern(items):
        if not any(isinstance(item, AfterValidator) and item.func is clean for item in items):
            return "is neither SafeStr nor has a pattern"
        if not any(isinstance(item, MaxLen) for item in items):
            return "has no maximal length"
    if kind is list and not any(isinstance(item, MaxLen) for item in items):
        return "has no maximal length"
    if kind is int:
        lower: list[Any] = [item.ge for item in items if isinstance(item, Ge)]
        upper: list[Any] = [item.le for item in items if isinstance(item, Le)]
        if not lower or not upper or min(lower) < -MAX_INT - 1 or max(upper) > MAX_INT:
            return "is not bounded to 64 bits"
    if kind in {float, dict, Any, object, bytes} or get_origin(kind) is dict:
        return "takes anything"
    return None


@pytest.mark.parametrize("model", sorted(models(), key=str), ids=str)
def test_a_request_is_strict_and_bounded(model: type[BaseModel]) -> None:
    assert model.model_config.get("extra") == "forbid"
    assert model.model_config.get("strict") is True
    lacking = {name: lack for name, kind, metadata in fields(model) if (lack := complaint(kind, metadata))}
    assert lacking == {}


def dependants(dependant: Dependant) -> Iterator[Dependant]:
    yield dependant
    for inner in dependant.dependencies:
        yield from dependants(inner)


def test_every_query_parameter_is_bounded() -> None:
    """Cursors aside, which `app.web.paging` decodes: it takes 100 characters and refuses what is none of ours."""
    lacking = {
        f"{route.path} {parameter.name}": lack
        for route in ROUTES
        for dependant in dependants(route.dependant)
        for parameter in dependant.query_params
        for kind, metadata in parts(parameter.field_info.annotation, tuple(parameter.field_info.metadata))
        if get_origin(kind) is not Literal and parameter.name != "cursor" and (lack := complaint(kind, metadata))
    }
    assert lacking == {}


def test_every_body_is_read_by_our_route() -> None:
    assert {route.path for route in ROUTES if route.body_field is not None and not isinstance(route, Route)} == set()
