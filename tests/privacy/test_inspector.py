"""An inspector's walk from outside: grant, prove, withdraw, prove, export, erase, prove, tamper, be caught."""

import re
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from app.devstack.sink.app import RunningSink
from app.devstack.sink.state import ChannelName
from tests.alerts.test_cli import Ended, novahouse
from tests.conftest import OPERATOR
from tests.consent.chain import cut, tampering
from tests.privacy.people import ADDRESS, NATIONAL, captured, dump, holding
from tests.processes import api, eventually, worker

PURPOSE = "marketing_email"


async def entries(client: httpx.AsyncClient) -> list[tuple[str, str | None]]:
    """What the log proves about the person: event and purpose, the oldest first."""
    answer = await client.get("/v1/audit", params={"email": ADDRESS.upper()}, headers=OPERATOR)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return [(item["event"], item["purpose"]) for item in reversed(items)]


async def current_text(client: httpx.AsyncClient) -> dict[str, Any]:
    texts = (await client.get("/v1/consent/texts")).json()["items"]
    text: dict[str, Any] = next(item for item in texts if (item["purpose"], item["locale"]) == (PURPOSE, "pl"))
    return text


async def test_an_inspector_is_shown_proof_at_every_step_and_finds_what_was_forged(
    environment: dict[str, str], sink: RunningSink, sql: asyncpg.Connection, tmp_path: Path
) -> None:
    environment |= {"AUDIT_ANCHOR": str(tmp_path / "anchor.jsonl")}

    async def audit(*arguments: str) -> Ended:
        return await novahouse("audit", *arguments, environment=environment)

    async with api(environment, tmp_path / "api.log") as (_, client), worker(environment, tmp_path / "worker.log"):
        token = await captured(client)
        text = await current_text(client)
        decision = {"decision": "granted", "text_version": text["version"], "sha256": text["sha256"]}
        granted = await client.put(f"/v1/consent/{PURPOSE}", json=decision, headers=token)
        assert granted.status_code == 201, granted.text
        assert await entries(client) == [("consent.granted", "rodo"), ("consent.granted", PURPOSE)]
        assert (await audit("checkpoint")).code == 0

        assert (await client.delete(f"/v1/consent/{PURPOSE}", headers=token)).status_code == 204
        assert (await entries(client))[-1] == ("consent.refused", PURPOSE)
        exported = (await client.get("/v1/chat/export", headers=token)).text
        assert ADDRESS in exported
        assert text["sha256"] in exported

        asked = await client.post("/v1/privacy/requests", json={"type": "erasure", "email": ADDRESS})

        async def mailed() -> bool:
            return bool(list(sink.state.of(ChannelName.EMAIL)))

        await eventually(mailed)
        (mail,) = sink.state.of(ChannelName.EMAIL)
        code = re.search(r"#(\S+)", mail.content["text"])
        assert code is not None
        proved = await client.post(f"/v1/privacy/requests/{asked.json()['id']}/verify", json={"token": code.group(1)})
        assert proved.json()["result"]["conversations"] == 1, proved.text
        assert await entries(client) == []
        assert holding(await dump(sql), ADDRESS, NATIONAL) == set()
        assert (await audit("verify")).code == 0
        assert (await client.get("/v1/audit/verify", headers=OPERATOR)).json()["ok"] is True

    async with tampering(sql):
        await sql.execute("UPDATE consent_audit_log SET purpose = 'rodo' WHERE seq = 2")
    found = await audit("verify")
    assert (found.code, "BROKEN at entry 2" in found.out) == (1, True), found.out
    await cut(sql, seq=2)
    found = await audit("verify")
    assert found.code == 1, "the chain alone holds again; the checkpoint outside tells"
