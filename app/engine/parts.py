"""What an answer may look at, and what one bubble of it leaves for the next turn."""

from dataclasses import dataclass

from app.engine.compose import Voice
from app.engine.dialog import State
from app.engine.knowledge import Wish
from app.engine.slots.reader import Found
from app.engine.types import PackageId, Reply, Slots


@dataclass(frozen=True, slots=True)
class Context:
    """What answers may look at."""

    voice: Voice
    slots: Slots
    found: Found
    state: State
    wish: Wish | None
    consent_contact: bool | None
    previous: PackageId | None = None
    """The package chosen before the present one, maybe by this very message."""
    cheaper: bool = False
    """The visitor asks for less rather than more."""

    @property
    def packages(self) -> tuple[PackageId, ...]:
        """Packages this message is about: the ones it names, else the chosen, else the recommended."""
        if self.found.named.packages:
            return self.found.named.packages
        chosen = self.slots.package or self.state.recommended
        return () if chosen is None else (chosen,)


@dataclass(slots=True)
class Part:
    """One bubble, the slot it asks for, and what it leaves for the next turn."""

    reply: Reply
    asks: str | None = None
    listed: tuple[PackageId, ...] = ()
    recommended: PackageId | None = None
    offer: str | None = None
    slots: Slots | None = None
    missed: bool = False
    """It says that nothing was understood."""
    wordable: bool = False
    """The reply is general knowledge, the same for everybody, and may be said in other words."""
