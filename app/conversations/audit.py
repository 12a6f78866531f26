"""What the audit log says about the person with an address: consent knows ids only, conversations know addresses."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from app.consent import audit_repository
from app.conversations import repository
from app.core.addresses import normalise_email
from app.core.db import AnyRow
from app.core.errors import InvalidError


class AddressError(InvalidError):
    """What was given is no e-mail address. It is not repeated."""

    code = "email-invalid"
    title = "This is not an e-mail address."


async def entries(session: AsyncSession, *, email: str, before: int | None, limit: int) -> Sequence[AnyRow]:
    """One page of the entries about every conversation with this address, newest first, below the number `before`.

    An erased conversation has no address any more, so its entries are nobody's. Raises AddressError.
    """
    try:
        address = normalise_email(email)
    except ValueError:
        raise AddressError from None
    refs = repository.ids_of_address(address)
    return await audit_repository.page(session, subject_refs=refs, before=before, limit=limit)
