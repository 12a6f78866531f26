"""What is shipped besides our own code."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.processes import ROOT
from tests.supply import image
from tests.supply.audit import report, verdict
from tests.supply.image import problems
from tests.supply.licences import DOCUMENT, packages, page
from tests.supply.lock import exported

KNOWN_LICENCES = {
    *("0BSD", "Apache-2.0", "BSD", "BSD-2-Clause", "BSD-3-Clause", "BSD-like", "ISC", "MIT", "MPL-2.0", "PSF-2.0"),
}


def test_the_page_of_licences_is_what_the_lock_file_brings() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == page(), "run `make licences`"


def test_every_licence_is_one_that_we_know() -> None:
    named = re.findall(r"^\| [a-z0-9._-]+ \| (.+) \|$", page().partition("|---|---|")[2], re.MULTILINE)
    parts = {part.strip("() ") for each in named for part in re.split(r" (?:AND|OR|or|WITH) ", each)}
    assert len(named) > 20
    assert parts <= KNOWN_LICENCES


def test_a_known_vulnerability_is_told_with_its_mend_and_an_unknown_package_is_not_counted() -> None:
    audited: list[dict[str, Any]] = [
        {"name": "jinja2", "version": "2.10", "vulns": [{"id": "PYSEC-2019-217", "fix_versions": ["2.10.1"]}]},
        {"name": "idna", "version": "3.20", "vulns": []},
        {"name": "ours", "skip_reason": "Dependency not found on PyPI"},
    ]
    assert verdict(audited) == (["jinja2 2.10: PYSEC-2019-217, mended in 2.10.1"], 2)
    assert (report(audited), report(audited[1:])) == (1, 0)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("app/.env", "a secret"),
        ("root/.ssh/id_ed25519", "a secret"),
        ("srv/tls/server.pem", "a private key or certificate"),
        ("app/.git/HEAD", "a repository"),
        ("usr/bin/gcc-14", "a compiler"),
        ("usr/bin/x86_64-linux-gnu-ld", "a compiler"),
        ("usr/bin/make", "a build tool"),
        ("usr/local/bin/pip3.13", "an installer"),
        ("root/.cache/uv/x", "a cache"),
        ("opt/venv/lib/python3.13/site-packages/app/devstack/up.py", "our tests or tools"),
    ],
    ids=lambda value: str(value).replace("/", "-"),
)
def test_a_file_that_should_not_be_in_the_image_is_named(path: str, kind: str) -> None:
    assert problems([path]) == [f"{kind}: /{path}"]


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ([("usr/local/bin/python3.13", 0o755)], 0),
        ([("usr/local/bin/python3.13", 0o755), ("app/.env", 0o644)], 1),
        ([("usr/bin/su", 0o4755)], 1),
        ([("usr/bin/wall", 0o2755)], 1),
        ([("var/local", 0)], 0),
        ([], 1),
    ],
    ids=["clean", "a secret", "as its owner", "as its group", "a folder", "no files at all"],
)
def test_the_check_of_an_image_fails_with_what_it_found(members: list[tuple[str, int]], code: int) -> None:
    assert image.report(members) == code


def test_what_a_service_needs_may_be_in_the_image() -> None:
    assert not problems(
        [
            *("usr/local/bin/python3.13", "etc/ssl/certs/ca-certificates.crt", "etc/ssl/certs/ISRG_Root_X1.pem"),
            *(
                "opt/venv/lib/python3.13/site-packages/certifi/cacert.pem",
                "opt/venv/bin/novahouse",
                "opt/venv/bin/uvicorn",
            ),
            *("app/alembic/env.py", "app/alembic.ini", "opt/venv/sbom.cdx.json"),
        ]
    )


def test_the_bill_of_materials_names_every_package_of_the_image_with_its_version() -> None:
    bill = json.loads(exported("cyclonedx1.5", "--preview-features", "sbom-export"))
    named = {each["name"] for each in bill["components"] if each["version"] and each["purl"].startswith("pkg:pypi/")}
    assert bill["bomFormat"] == "CycloneDX"
    assert named >= set(packages())


def test_what_is_made_of_the_lock_file_is_made_in_the_image_too() -> None:
    build, final = (ROOT / "Dockerfile").read_text().split("FROM python:3.13-slim\n")
    assert re.search(r"uv export .*--no-dev .*cyclonedx1\.5 .*sbom-export \\\n\s+--output-file /opt/venv/sbom", build)
    assert not re.search(r"uv sync (?!.*--frozen.*--no-dev)", build)
    assert "COPY --from=build /opt/venv /opt/venv\n" in final


@pytest.mark.parametrize("command", ["make lint", "make audit", "make fuzz", "make test"])
def test_ci_runs_every_check_and_stops_at_the_first_that_fails(command: str) -> None:
    lines = (ROOT / ".ci/run").read_text().splitlines()
    assert "set -euo pipefail" in lines
    assert [line for line in lines if line == command or line.startswith(f"{command} ARGS=")]


@pytest.mark.parametrize(
    ("code", "rule"),
    [
        ("import pickle\n\nfound = pickle.loads(b'')\n", "S301"),
        ("found = eval(input())\n", "S307"),
        ("import subprocess\n\nsubprocess.run('ls', shell=True, check=True)\n", "S607"),
        ("def find(name: str) -> str:\n    return f\"SELECT * FROM leads WHERE name = '{name}'\"\n", "S608"),
    ],
    ids=["pickle", "eval", "shell", "SQL"],
)
def test_what_is_dangerous_is_no_style_of_ours(code: str, rule: str) -> None:
    ruff = str(Path(sys.executable).with_name("ruff"))
    done = subprocess.run(  # noqa: S603  ruff with our arguments
        [ruff, "check", "--no-cache", "--output-format=concise", "--stdin-filename", "app/core/x.py", "-"],
        cwd=ROOT,
        input=code,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert rule in done.stdout
