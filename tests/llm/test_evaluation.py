"""Our conversations, with a model that lies to every question: judged as without one."""

import httpx

from tests.evaluation import bar, rules
from tests.evaluation.visits import visit
from tests.llm.conftest import Start
from tests.llm.server import ModelServer

EVERY = 3


async def test_a_lying_model_changes_no_verdict(start: Start, client: httpx.AsyncClient, model: ModelServer) -> None:
    conversations = rules.own()
    chosen = [*conversations[::EVERY], *(one for one in conversations if {"noise", "off-topic"} & set(one.tags))]
    alone = await visit(client, chosen)
    model.mode = "lying"
    async with start(gpt_rate_limit="1000000 per day") as helped:
        lied_to = await visit(helped, chosen)
    assert len(model.requests) > 50
    assert bar.total(lied_to) == bar.total(alone)
    assert [verdict.passes for verdict in lied_to] == [verdict.passes for verdict in alone]
    assert [verdict.wrong_slots for verdict in lied_to] == [verdict.wrong_slots for verdict in alone]
