"""The Slack message of a notice: what happened, the facts, the rows, and what to do, in English.

Texts of a notice go into plain_text, except where the layout needs mrkdwn: commands in backticks and the table. There
backticks of a value are replaced and the rest is escaped, so that nothing in it can link, mention or leave its place.
"""

import re
from collections.abc import Iterable
from typing import Final

from worker.channels import wording
from worker.channels.base import Notice
from worker.channels.slack_blocks import (
    FIELD_LIMIT,
    MAX_FIELDS,
    Block,
    context,
    escape,
    header,
    mrkdwn,
    plain_text,
    section,
)

REPEAT_MARK: Final = "possible repeat"
TITLE_LIMIT: Final = 140
TEXT_LIMIT: Final = 2900
MAX_FACTS: Final = 20
STEP_LIMIT: Final = 300
STEPS_LIMIT: Final = 2900
CELL_LIMIT: Final = 40
TABLE_LIMIT: Final = 2800

_COMMAND: Final = re.compile(r"`([^`]+)`")


def blocks(notice: Notice) -> list[Block]:
    """The notice as Block Kit."""
    made = [header(_title(notice))]
    if notice.envelope.possible_repeat:
        made.append(context(f":repeat: *{REPEAT_MARK}* – an earlier attempt may have arrived"))
    text = wording.plain(notice.text, TEXT_LIMIT, lines=True)
    if text:
        made.append(section(text))
    made += _facts(notice)
    table = _table(notice)
    if table:
        made.append({"type": "section", "text": mrkdwn(table)})
    steps = _steps(notice)
    if steps:
        made.append({"type": "section", "text": mrkdwn(steps)})
    return [*made, context(_origin(notice))]


def fallback(notice: Notice) -> str:
    """What a notification on a phone shows."""
    mark = f" ({REPEAT_MARK})" if notice.envelope.possible_repeat else ""
    return f"{_title(notice)}{mark}"


def _title(notice: Notice) -> str:
    return wording.plain(notice.title, TITLE_LIMIT) or "Notice"


def _facts(notice: Notice) -> list[Block]:
    facts = [(wording.plain(label, 60), wording.plain(value, 300)) for label, value in notice.facts[:MAX_FACTS]]
    fields = [plain_text(f"{label}: {value}", FIELD_LIMIT) for label, value in facts if label or value]
    starts = range(0, len(fields), MAX_FIELDS)
    return [{"type": "section", "fields": fields[start : start + MAX_FIELDS]} for start in starts]


def _table(notice: Notice) -> str:
    rows = [[_cell(cell) for cell in row] for row in notice.items if row]
    if not rows:
        return ""
    widths = [max(len(row[column]) for row in rows if column < len(row)) for column in range(max(map(len, rows)))]
    lines = [escape("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False))) for row in rows]
    shown = _within(TABLE_LIMIT, (line.rstrip() for line in lines))
    left = notice.more + len(lines) - len(shown)
    return "```" + "\n".join(shown) + "```" + (f"\n… and {left} more" if left else "")


def _cell(value: str) -> str:
    return wording.plain(value, CELL_LIMIT).replace("`", "'")


def _steps(notice: Notice) -> str:
    shown = [step for step in map(_step, notice.what_to_do) if step]
    lines = (f"{number}. {step}" for number, step in enumerate(shown, start=1))
    return "\n".join(_within(STEPS_LIMIT, ("*What to do*", *lines))) if shown else ""


def _step(step: str) -> str:
    """One line in which only whole pairs of backticks are left."""
    parts = _COMMAND.split(escape(wording.plain(step, STEP_LIMIT)))
    return "".join(f"`{part}`" if index % 2 else part.replace("`", "'") for index, part in enumerate(parts))


def _within(limit: int, lines: Iterable[str]) -> list[str]:
    """The first lines that together are at most `limit` UTF-16 units long."""
    kept = []
    for line in lines:
        limit -= wording.width(line) + 1
        if limit < 0:
            break
        kept.append(line)
    return kept


def _origin(notice: Notice) -> str:
    return (
        f"{wording.local_time_with_zone(notice.happened_at)} · notice `{wording.short_id(notice.notice_id)}`"
        f" · alert `{wording.short_id(notice.envelope.alert_id)}`"
    )
