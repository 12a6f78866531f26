"""What is shipped besides our own code."""

import re
from typing import Any

import pytest

from tests.supply.audit import verdict
from tests.supply.image import problems
from tests.supply.licences import DOCUMENT, page

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


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("app/.env", "a secret"),
        ("root/.ssh/id_ed25519", "a secret"),
        ("srv/tls/server.pem", "a private key or certificate"),
        ("app/.git/HEAD", "a repository"),
        ("usr/bin/gcc-14", "a compiler"),
        ("usr/bin/x86_64-linux-gnu-ld", "a compiler"),
        ("usr/local/bin/pip3.13", "an installer"),
        ("opt/venv/lib/python3.13/site-packages/app/devstack/up.py", "our tests or tools"),
    ],
    ids=lambda value: str(value).replace("/", "-"),
)
def test_a_file_that_should_not_be_in_the_image_is_named(path: str, kind: str) -> None:
    assert problems([path]) == [f"{kind}: /{path}"]


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
