"""What the sink shows and what it can be told: its pages, its JSON and its commands."""

import orjson
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from app.devstack.sink import mail_html, page
from app.devstack.sink.control import Command, describe
from app.devstack.sink.http import json_answer, read
from app.devstack.sink.monday import MondayService
from app.devstack.sink.state import ChannelName, SinkState


def views(state: SinkState, monday: MondayService, columns: dict[str, str]) -> list[Route]:
    """The page, its parts, and the same as JSON."""

    async def show(_request: Request) -> Response:
        return HTMLResponse(page.page(state, columns), headers=page.HEADERS)

    async def show_fragment(request: Request) -> Response:
        if request.query_params.get("since") == str(state.version):
            return Response(status_code=204)
        return HTMLResponse(page.fragment(state, columns), headers=page.HEADERS)

    async def messages(request: Request) -> Response:
        if request.method == "DELETE":
            state.clear()
            monday.clear()
            return Response(status_code=204)
        wanted = request.query_params.get("channel")
        if wanted is not None and wanted not in set(ChannelName):
            return json_answer({"error": f"channel is one of {', '.join(ChannelName)}"}, status=400)
        found = list(state.of(ChannelName(wanted) if wanted is not None else None))
        return Response(page.messages_json(found), media_type="application/json")

    async def mail(request: Request) -> Response:
        """The HTML form of one mail, for the frame on the page that shows it."""
        found = next((one for one in state.of(ChannelName.EMAIL) if one.id == request.path_params["id"]), None)
        html = found.content["html"] if found is not None else None
        return HTMLResponse(html or "", status_code=200 if html else 404, headers=mail_html.HEADERS)

    async def rejections(_request: Request) -> Response:
        return json_answer({"items": list(state.rejections)})

    async def health(_request: Request) -> Response:
        return json_answer({"status": "ok"})

    return [
        Route("/", show),
        Route("/fragment", show_fragment),
        Route("/messages", messages, methods=["GET", "DELETE"]),
        Route("/mails/{id:int}", mail),
        Route("/rejections", rejections),
        Route("/health", health),
    ]


def controls(state: SinkState) -> list[Route]:
    """Misbehaviour on command, and what each channel has seen."""

    async def overview(_request: Request) -> Response:
        return json_answer({channel.value: describe(state, channel) for channel in ChannelName})

    async def control(request: Request) -> Response:
        name = request.path_params["channel"]
        if name not in set(ChannelName):
            return json_answer({"error": f"channel is one of {', '.join(ChannelName)}"}, status=404)
        channel = ChannelName(name)
        if request.method == "PUT":
            try:
                command = Command.model_validate_json(await read(request))
            except ValidationError as invalid:
                return json_answer({"error": orjson.loads(invalid.json(include_input=False))}, status=422)
            objection = command.objection(channel)
            if objection is not None:
                return json_answer({"error": objection}, status=422)
            state.command(channel, command.behaviour(), command.times)
        return json_answer({**describe(state, channel), "requested_at": list(state.tallies[channel].requested_at)})

    return [Route("/control", overview), Route("/control/{channel}", control, methods=["GET", "PUT"])]
