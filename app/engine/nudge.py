"""What to say in the window of a visitor who has not answered for a while: one sentence, by what is missing. Pure."""

from typing import Final

from app.engine.compose import Voice
from app.engine.dialog import State
from app.engine.types import Reply, Slots

SILENT: Final = frozenset({"not_interested", "later", "no_contact_needed", "goodbye", "abuse", "erasure", "human"})
"""What was last talked about by somebody who is not waiting for us to say more."""
_MISSING: Final = ("area_m2", "package", "phone")


def reply(voice: Voice, state: State, slots: Slots) -> Reply | None:
    """The nudge, or None where silence is better. It asks for nothing that is known and promises nothing.

    It leaves no memory: a question that was asked before stays the one that a bare answer is read for, so where one
    is open nothing else is asked.
    """
    if state.topic in SILENT:
        return None
    for name in _MISSING if state.asked is None else (state.asked,):
        if name == "phone" and not slots.has_contact:
            return Reply("text", voice.say("nudge_contact"), None, voice.chips("qr_booking"))
        if name == "area_m2" and slots.area_m2 is None:
            return Reply("text", voice.say("nudge_area"))
        if name == "package" and slots.package is None and slots.area_m2 is not None:
            text = voice.say("nudge_package", area=voice.area(slots.area_m2), choices=voice.choices)
            return Reply("text", text, None, voice.chips("qr_packages"))
    return Reply("text", voice.say("nudge"))
