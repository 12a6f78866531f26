"""The hourly checkpoint of the audit log, for the worker's schedule."""

from typing import Final

import structlog

from app.consent.anchor import Anchor, AnchorError
from app.consent.checkpoints import ChainBrokenError, checkpoint
from app.core import clock
from app.core.db import Database
from worker.schedule import JobError

AUDIT_CHECKPOINT: Final = "audit_checkpoint"

_log = structlog.stdlib.get_logger(__name__)


class AuditChainBrokenError(JobError):
    """The audit log is not what it was, so nothing was signed: somebody must look (`novahouse audit verify`)."""


class AuditAnchorError(JobError):
    """The file of checkpoints cannot be written, or what it ends with is not ours."""


async def write_checkpoint(database: Database, anchor: Anchor) -> int:
    """Sign where the audit log stands, when it has grown; gives how many entries were added.

    Raises AuditChainBrokenError and AuditAnchorError, logged, with nothing written.
    """
    try:
        _, added = await checkpoint(database, anchor=anchor, now=clock.now())
    except ChainBrokenError as error:
        _log.error("audit_chain_broken", seq=error.fault.seq, reason=error.fault.reason)
        raise AuditChainBrokenError from error
    except AnchorError as error:
        _log.error("audit_anchor_unusable", reason=error.reason, why=str(error))
        raise AuditAnchorError from error
    return added
