"""The published schema: stable names, examples, and a problem for whatever may go wrong."""

import inspect
import json
import time
from collections.abc import Iterator
from typing import Any, get_args

import httpx
import pytest
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from jsonschema_rs import Draft202012Validator
from pydantic import BaseModel

from app.api import ROUTERS
from tests.conftest import OPERATOR, ROOT
from tests.talk import open_session

OPERATIONS = {
    "alerts_get_alert",
    "alerts_list_alerts",
    "audit_list_entries",
    "audit_verify",
    "channels_list_channels",
    "channels_pause_channel",
    "channels_reset_channel",
    "channels_resume_channel",
    "channels_send_test",
    "chat_delete_chat",
    "chat_export_chat",
    "chat_follow",
    "chat_give_contact",
    "chat_list_messages",
    "chat_open_session",
    "chat_rate_message",
    "chat_request_handoff",
    "chat_send_message",
    "consent_give_answer",
    "consent_list_answers",
    "consent_list_texts",
    "consent_withdraw_answer",
    "conversations_get_conversation",
    "conversations_list_conversations",
    "conversations_list_feedback",
    "conversations_release_conversation",
    "conversations_say_as_person",
    "dead_letters_discard_dead_letter",
    "dead_letters_get_dead_letter",
    "dead_letters_list_dead_letters",
    "dead_letters_retry_dead_letter",
    "dead_letters_retry_dead_letters",
    "followups_cancel_followup",
    "followups_list_due_followups",
    "followups_list_followups",
    "followups_preview_followup",
    "followups_write_followup",
    "health_live",
    "health_ready",
    "leads_export_leads",
    "leads_get_lead",
    "leads_list_leads",
    "leads_update_lead",
    "offer_estimate",
    "offer_list_packages",
    "operations_get_status",
    "operations_list_actions",
    "privacy_ask",
    "privacy_export_request",
    "privacy_list_requests",
    "privacy_verify_request",
    "questions_dismiss_question",
    "questions_list_questions",
    "questions_mark_question_answered",
    "unsubscribe_follow_link",
    "unsubscribe_show_link",
    "unsubscribe_unsubscribe_address",
}


async def schema(client: httpx.AsyncClient) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get("/openapi.json")).json()
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for operation in methods.values():
            yield path, operation


async def test_operation_ids_are_the_ones_that_clients_know(client: httpx.AsyncClient) -> None:
    assert {operation["operationId"] for _, operation in operations(await schema(client))} == OPERATIONS


async def test_every_error_is_documented_as_a_problem(client: httpx.AsyncClient) -> None:
    for path, operation in operations(await schema(client)):
        statuses = set(operation["responses"])
        if not path.startswith("/health"):
            assert {"408", "413", "422", "429", "500", "503"} <= statuses, path
        assert ("401" in statuses) == ("security" in operation), path
        for status, response in operation["responses"].items():
            if not status.startswith("2"):
                assert list(response["content"]) == ["application/problem+json"], (path, status)


def test_the_document_in_the_repository_is_the_one_that_is_served(app: FastAPI) -> None:
    kept = json.loads((ROOT / "docs/openapi.json").read_text(encoding="utf-8"))
    assert kept == app.openapi(), "run `novahouse openapi` and look at what changed"


async def test_the_document_is_serialised_once_and_follows_the_application(
    app: FastAPI, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await schema(client) == app.openapi()
    began = time.thread_time()
    for _ in range(20):
        json.dumps(app.openapi())
    serialising = time.thread_time() - began
    began = time.thread_time()
    for _ in range(20):
        await client.get("/openapi.json")
    assert time.thread_time() - began < serialising
    monkeypatch.setattr(app, "openapi_schema", {**app.openapi(), "x-changed": True})
    assert (await schema(client))["x-changed"] is True
    assert (await client.head("/openapi.json")).headers["Content-Type"] == "application/json"


async def test_behind_a_root_path_the_document_names_it(app: FastAPI) -> None:
    for root_path, servers in (("/api", ["/api", "/"]), ("", ["/"])):
        transport = httpx.ASGITransport(app, root_path=root_path)
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
            document = (await client.get(f"{root_path}/openapi.json")).json()
        assert [server["url"] for server in document["servers"]] == servers


async def test_operations_of_operators_name_their_scope_and_document_its_absence(client: httpx.AsyncClient) -> None:
    for path, operation in operations(await schema(client)):
        for way in operation.get("security", ()):
            assert len(way.get("apiKey", ["a session"])) == 1, path
            assert ("apiKey" in way) == ("403" in operation["responses"]), path
        reads = "requestBody" in operation or "Idempotency-Key" in str(operation.get("parameters"))
        assert reads == ("415" in operation["responses"]), path


async def test_every_reference_leads_somewhere(client: httpx.AsyncClient) -> None:
    document = await schema(client)

    def references(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            yield from ([node["$ref"]] if isinstance(node.get("$ref"), str) else [])
            for value in node.values():
                yield from references(value)
        if isinstance(node, list):
            for value in node:
                yield from references(value)

    known = {f"#/components/{kind}/{name}" for kind in ("schemas", "headers") for name in document["components"][kind]}
    assert set(references(document)) <= known


TOLD = ("X-Request-ID", "traceparent", "RateLimit", "RateLimit-Policy", "Idempotent-Replayed", "Content-Disposition")


async def test_headers_of_answers_are_documented_where_they_are_sent_and_nowhere_else(
    client: httpx.AsyncClient,
) -> None:
    document = await schema(client)
    token = await open_session(client)
    key = {**OPERATOR, "Idempotency-Key": "a" * 16}
    reason = {"json": {"reason": "x"}}
    message = {"json": {"text": "hej", "client_message_id": "a"}}
    contact = {"json": {"phone": "691 222 333"}}
    calls: list[tuple[str, str, str, dict[str, str], dict[str, Any]]] = [
        ("get", "/health/live", "/health/live", {}, {}),
        ("get", "/health/ready", "/health/ready", {}, {}),
        ("get", "/v1/packages", "/v1/packages", {}, {}),
        ("get", "/v1/packages", "/v1/packages?locale=de", {}, {}),
        ("get", "/v1/leads.csv", "/v1/leads.csv", OPERATOR, {}),
        ("get", "/v1/leads", "/v1/leads", {}, {}),
        ("get", "/v1/chat/export", "/v1/chat/export", token, {}),
        *[("post", "/v1/chat/messages", "/v1/chat/messages", token, message)] * 2,
        *[("post", "/v1/chat/contact", "/v1/chat/contact", token, contact)] * 2,
        *[("post", "/v1/chat/handoff", "/v1/chat/handoff", token, {})] * 2,
        *[("post", "/v1/channels/{name}/pause", "/v1/channels/slack/pause", key, reason)] * 2,
        ("delete", "/v1/consent/{purpose}", "/v1/consent/rodo", token, {}),
    ]
    for method, path, url, headers, more in calls:
        answer = await client.request(method, url, headers=headers, **more)
        told = document["paths"][path][method]["responses"][str(answer.status_code)]["headers"]
        sent = {name for name in TOLD if name in answer.headers}
        assert sent <= set(told), (method, path, answer.status_code)
        assert set(told) & set(TOLD) - {"Idempotent-Replayed"} <= sent, (method, path, answer.status_code)


async def test_whatever_is_asked_may_be_no_http_or_of_another_host(client: httpx.AsyncClient) -> None:
    for path, operation in operations(await schema(client)):
        assert {"400", "431"} <= set(operation["responses"]), path
        for response in operation["responses"].values():
            assert {"X-Request-ID", "traceparent"} <= set(response["headers"]), path
        replays = "Idempotency-Key" in str(operation.get("parameters"))
        for status, response in operation["responses"].items():
            if replays and status.startswith("2"):
                assert "Idempotent-Replayed" in response["headers"], path


def shown(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], list[Any]]]:
    """Every JSON body of requests and of successful answers: its name, its schema and its examples."""
    for path, operation in operations(document):
        answers = {status: body for status, body in operation["responses"].items() if status.startswith("2")}
        for what, body in {"request": operation.get("requestBody", {}), **answers}.items():
            for media in [each for kind, each in body.get("content", {}).items() if kind == "application/json"]:
                own = [each["value"] for each in media.get("examples", {}).values()]
                schemas = [resolved(document, each) for each in media["schema"].get("anyOf", [media["schema"]])]
                of_schemas = [example for each in schemas for example in each.get("examples", ())]
                yield f"{operation['operationId']} {what} {path}", media["schema"], own + of_schemas


def resolved(document: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    name = node.get("$ref", "").rpartition("/")[2]
    found: dict[str, Any] = document["components"]["schemas"][name] if name else node
    return found


async def test_every_json_body_has_an_example(client: httpx.AsyncClient) -> None:
    bodies = list(shown(await schema(client)))
    assert [name for name, _, examples in bodies if not examples] == []
    assert len(bodies) >= len(OPERATIONS)


async def test_every_example_is_what_its_schema_says(client: httpx.AsyncClient) -> None:
    document = await schema(client)
    bodies = [(name, body, examples) for name, body, examples in shown(document)]
    parts = [
        (name, each, each["examples"]) for name, each in document["components"]["schemas"].items() if "examples" in each
    ]
    for name, body, examples in bodies + parts:
        validator = Draft202012Validator({**body, "components": document["components"]}, validate_formats=True)
        for example in examples:
            assert [error.message for error in validator.iter_errors(example)] == [], name


async def test_every_example_is_what_its_model_reads_and_writes(app: FastAPI) -> None:
    """More than a schema can say: validators of requests agree, and answers have every member in our notation."""
    schemas = app.openapi()["components"]["schemas"]
    routes = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
    answers = {model for route in routes for model in models(route.response_model)}
    requests = {
        model for route in routes if route.body_field for model in models(route.body_field.field_info.annotation)
    }
    assert answers
    assert requests
    for model in answers | requests:
        for example in schemas[model.__name__]["examples"]:
            read = model.model_validate_json(json.dumps(example), extra="forbid")
            assert model in requests or read.model_dump(mode="json") == example, model.__name__


def models(annotation: Any) -> list[type[BaseModel]]:
    """The models that a body may be: one, one or null, or none."""
    each = get_args(annotation) or (annotation,)
    return [kind for kind in each if isinstance(kind, type) and issubclass(kind, BaseModel)]


async def test_an_id_in_a_path_may_be_unknown(client: httpx.AsyncClient) -> None:
    for path, operation in operations(await schema(client)):
        if "{" in path:
            assert "404" in operation["responses"], path


async def test_docs_are_served(client: httpx.AsyncClient) -> None:
    assert (await client.get("/docs")).status_code == 200


def test_no_route_and_no_dependency_runs_in_a_thread(app: FastAPI) -> None:
    """A plain `def` costs a hop to a thread and back on every request: half a millisecond on the hot path."""

    def calls(dependant: Dependant) -> Iterator[Any]:
        yield dependant.call
        for inner in dependant.dependencies:
            yield from calls(inner)

    assert app.routes
    for router in ROUTERS:
        for route in router.routes:
            assert isinstance(route, APIRoute)
            for call in calls(route.dependant):
                function = call if inspect.isroutine(call) else type(call).__call__
                assert inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function), call
