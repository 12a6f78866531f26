"""A Slack message as HTML that looks like Slack. Everything that was received is escaped before it is marked up."""

import re
from html import escape, unescape
from typing import Any, Final

_LINK: Final = re.compile(r"<((?:https?://|tel:|mailto:)[^<>|]+)(?:\|([^<>]*))?>")
_MENTION: Final = re.compile(r"<([!@#][^<>|]*)(?:\|([^<>]*))?>")
_BLOCK: Final = re.compile(r"```([^`]+)```\n?")
_INLINE: Final = (
    (re.compile(r"(?<![\w`])`([^`\n]+)`(?!\w)"), r"<code>\1</code>"),
    (re.compile(r"(?<![\w*])\*([^*\n]+)\*(?![\w*])"), r"<b>\1</b>"),
    (re.compile(r"(?<![\w~])~([^~\n]+)~(?![\w~])"), r"<s>\1</s>"),
)
_EMOJI: Final = {":repeat:": "↻", ":white_check_mark:": "✓"}


def message(payload: dict[str, Any]) -> str:
    """The message's blocks, or its text when it has none."""
    blocks = payload.get("blocks")
    if not isinstance(blocks, list) or not blocks:
        return f'<p class="s-text">{mrkdwn(str(payload.get("text", "")))}</p>'
    return "".join(_block(block) for block in blocks if isinstance(block, dict))


def mrkdwn(text: str) -> str:
    """mrkdwn as HTML: links, mentions, bold, strike, code and line breaks."""
    pieces = _BLOCK.split(text)
    return "".join(
        f'<code class="s-block">{_literal(piece)}</code>' if index % 2 else _formatted(piece)
        for index, piece in enumerate(pieces)
    )


def _formatted(text: str) -> str:
    parts: list[str] = []
    position = 0
    for found in re.finditer(f"{_LINK.pattern}|{_MENTION.pattern}", text):
        parts.append(_inline(text[position : found.start()]))
        target, label, mention, shown = found.groups()
        if target is not None:
            parts.append(f'<a href="{escape(unescape(target))}" rel="noreferrer">{_literal(label or target)}</a>')
        else:
            parts.append(f'<span class="s-mention">{_literal(shown or mention.replace("!", "@"))}</span>')
        position = found.end()
    parts.append(_inline(text[position:]))
    return "".join(parts)


def _block(block: dict[str, Any]) -> str:
    kind = block.get("type")
    if kind == "header":
        return f"<h3>{_text(block.get('text'))}</h3>"
    if kind == "divider":
        return "<hr>"
    if kind == "context":
        elements = " ".join(f"<span>{_text(element)}</span>" for element in block.get("elements", []))
        return f'<p class="s-context">{elements}</p>'
    if kind == "section":
        text = f'<p class="s-text">{_text(block["text"])}</p>' if block.get("text") else ""
        fields = "".join(f"<div>{_text(field)}</div>" for field in block.get("fields", []))
        return text + (f'<div class="s-fields">{fields}</div>' if fields else "")
    return f'<p class="s-context">[{escape(str(kind))}]</p>'


def _text(entry: Any) -> str:
    if not isinstance(entry, dict):
        return ""
    text = str(entry.get("text", entry.get("alt_text", "")))
    return mrkdwn(text) if entry.get("type") == "mrkdwn" else _literal(text).replace("\n", "<br>")


def _inline(text: str) -> str:
    marked = _literal(text)
    for pattern, replacement in _INLINE:
        marked = pattern.sub(replacement, marked)
    for name, picture in _EMOJI.items():
        marked = marked.replace(name, picture)
    return marked.replace("\n", "<br>")


def _literal(text: str) -> str:
    """Slack's three entities undone, then all of HTML's done."""
    return escape(text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
