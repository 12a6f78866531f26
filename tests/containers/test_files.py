"""Dockerfile, docker-compose.yml and .env.example say what they should; no container engine is needed."""

import re
from typing import Any

import pytest
import yaml

from app.core.settings import Settings
from tests.processes import ROOT

COMPOSE_ONLY = {"POSTGRES_PASSWORD", "BIND_ADDRESS", "PORT", "IMAGE_TAG", "REVISION"}
SECRETS = ("POSTGRES_PASSWORD", "SECRET_KEY", "ADMIN_API_KEY")


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    """The services of the compose file."""
    found: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    return found


def test_the_services_are_the_ones_that_the_design_names(services: dict[str, dict[str, Any]]) -> None:
    assert set(services) == {"api", "worker", "migrate", "postgres", "redis"}
    assert (services["postgres"]["image"], services["redis"]["image"]) == ("postgres:17", "redis:8")


@pytest.mark.parametrize("name", ["api", "worker", "migrate", "postgres", "redis"])
def test_a_service_is_restarted_checked_and_limited(services: dict[str, dict[str, Any]], name: str) -> None:
    service = services[name]
    assert service["restart"]
    assert service["healthcheck"]
    assert service["deploy"]["resources"]["limits"]["memory"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]


def test_only_the_api_is_published_and_workers_can_be_scaled(services: dict[str, dict[str, Any]]) -> None:
    assert [name for name, service in services.items() if "ports" in service] == ["api"]
    assert not [name for name, service in services.items() if "container_name" in service]


def test_secrets_have_no_default() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    for name in SECRETS:
        assert set(re.findall(rf"\$\{{{name}(.)", text)) == {":"}
        assert set(re.findall(rf"\$\{{{name}:(.)", text)) == {"?"}
        assert re.search(rf"^{name}=$", (ROOT / ".env.example").read_text(), re.MULTILINE)


def test_the_example_names_every_setting_and_no_other() -> None:
    named = set(re.findall(r"^#?([A-Z][A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert named - COMPOSE_ONLY == {name.upper() for name in Settings.model_fields}
    assert named >= COMPOSE_ONLY


def test_compose_passes_every_setting_on(services: dict[str, dict[str, Any]]) -> None:
    assert set(services["api"]["environment"]) == {name.upper() for name in Settings.model_fields}


def test_the_image_runs_as_nobody_and_installs_nothing_at_the_end() -> None:
    build, final = (ROOT / "Dockerfile").read_text().split("FROM python:3.13-slim\n")
    assert build.count("FROM python:3.13-slim AS build") == 1
    assert re.search(r"^USER \d+:\d+$", final, re.MULTILINE)
    assert re.search(r"^HEALTHCHECK ", final, re.MULTILINE)
    assert re.search(r'^CMD \["uvicorn", "app.main:app"', final, re.MULTILINE)
    assert not re.search(r"pip install|apt-get|uv sync|embedded", final)
    assert "--no-dev" in build
    assert "--extra" not in build
