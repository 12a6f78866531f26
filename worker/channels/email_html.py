"""The HTML form of a letter: styles inline, nothing from elsewhere, readable on a phone and in the dark."""

import re
from html import escape
from typing import Final

from worker.channels.email_letter import Fact, Letter

_COMMAND: Final = re.compile(r"`([^`]+)`")

_FONT: Final = "font-family:-apple-system,'Segoe UI',Roboto,'Noto Sans','Liberation Sans',Arial,sans-serif"
_MONO: Final = "font-family:ui-monospace,Menlo,Consolas,'Liberation Mono',monospace"
_DARK: Final = (
    ":root{color-scheme:light dark}"
    "@media (prefers-color-scheme:dark){"
    ".ground{background:#17181a!important}"
    ".card{background:#222427!important;border-color:#36393d!important}"
    ".ink{color:#e8e6e3!important}"
    ".soft{color:#a3a29f!important}"
    ".link{color:#6cb6ef!important}"
    ".line{border-color:#36393d!important}"
    ".tag{background:#34373b!important;color:#e8e6e3!important}"
    ".warn{background:#3d3313!important;color:#f3d98a!important}"
    "}"
)
"""Inline styles cannot tell the dark, so these few rules outweigh them there."""


def as_html(letter: Letter) -> str:
    """A whole document. Every text of the letter is escaped."""
    parts = (
        _heading(letter.heading),
        _warning(letter.warning),
        _paragraph(letter.text),
        _facts(letter.facts),
        _quote(letter.quote),
        _table(letter),
        _steps(letter),
        _footer(letter.footer),
        _farewell(letter.farewell),
    )
    return (
        f'<!doctype html>\n<html lang="{letter.language}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><meta name="supported-color-schemes" content="light dark">'
        f"<title>{escape(letter.subject)}</title><style>{_DARK}</style></head>\n"
        f'<body class="ground" style="margin:0;padding:0;background:#f6f5f2;{_FONT}">\n'
        '<div class="ground" style="padding:20px 12px;background:#f6f5f2">'
        '<div class="card" style="max-width:600px;margin:0 auto;padding:22px 20px;background:#ffffff;'
        'border:1px solid #e2e0da;border-radius:12px;font-size:15px;line-height:1.5;overflow-wrap:anywhere">\n'
        + "\n".join(part for part in parts if part)
        + "\n</div></div></body></html>\n"
    )


def _heading(text: str) -> str:
    style = "margin:0 0 12px;font-size:20px;line-height:1.3;color:#1d1c1d"
    return f'<h1 class="ink" style="{style}">{escape(text)}</h1>'


def _warning(text: str) -> str:
    if not text:
        return ""
    style = "margin:0 0 14px;padding:8px 12px;border-radius:8px;background:#fff3d6;color:#5c4400"
    return f'<p class="warn" style="{style}">{escape(text)}</p>'


def _paragraph(text: str) -> str:
    return f'<p class="ink" style="margin:0 0 16px;color:#1d1c1d">{_lines(text)}</p>' if text else ""


def _facts(facts: tuple[Fact, ...]) -> str:
    if not facts:
        return ""
    label_style = (
        "padding:6px 14px 6px 0;width:30%;vertical-align:top;color:#616061;border-top:1px solid #e2e0da;"
        "overflow-wrap:normal"
    )
    value_style = "padding:6px 0;vertical-align:top;color:#1d1c1d;border-top:1px solid #e2e0da"
    rows = "\n".join(
        f'<tr><td class="soft line" style="{label_style}">{escape(fact.label)}</td>'
        f'<td class="ink line" style="{value_style}">{_value(fact)}</td></tr>'
        for fact in facts
    )
    style = "width:100%;border-collapse:collapse;margin:0 0 16px"
    return f'<table role="presentation" style="{style}">\n{rows}\n</table>'


def _value(fact: Fact) -> str:
    if fact.link is None:
        return escape(fact.value)
    return f'<a class="link" href="{escape(fact.link)}" style="color:#1264a3">{escape(fact.value)}</a>'


def _quote(text: str) -> str:
    if not text:
        return ""
    style = "margin:0 0 16px;padding:4px 0 4px 14px;border-left:3px solid #c9c6be;color:#1d1c1d"
    return f'<blockquote class="ink line" style="{style}">„{_lines(text)}”</blockquote>'


def _table(letter: Letter) -> str:
    if not letter.table:
        return ""
    heading, *rows = letter.table
    cell = "padding:6px 14px 6px 0;text-align:left;vertical-align:top;overflow-wrap:normal"
    head = f"{cell};color:#616061;font-weight:600"
    data = f"{cell};color:#1d1c1d;border-top:1px solid #e2e0da"
    heads = "".join(f'<th class="soft" scope="col" style="{head}">{escape(name)}</th>' for name in heading)
    cells = ("".join(f'<td class="ink line" style="{data}">{escape(text)}</td>' for text in row) for row in rows)
    lines = "\n".join(f"<tr>{row}</tr>" for row in cells)
    below = escape(letter.below_table)
    return (
        '<div style="margin:0 0 16px;overflow-x:auto">'
        '<table style="width:100%;border-collapse:collapse;font-size:14px">\n'
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{lines}\n</tbody></table>"
        + (f'<p class="soft" style="margin:6px 0 0;color:#616061">{below}</p>' if below else "")
        + "</div>"
    )


def _steps(letter: Letter) -> str:
    if not letter.steps:
        return ""
    items = "\n".join(f'<li style="margin:0 0 6px">{_step(step)}</li>' for step in letter.steps)
    return (
        f'<h2 class="ink" style="margin:0 0 6px;font-size:15px;color:#1d1c1d">{escape(letter.steps_heading)}</h2>'
        f'\n<ol class="ink" style="margin:0 0 16px;padding:0 0 0 22px;color:#1d1c1d">\n{items}\n</ol>'
    )


def _step(step: str) -> str:
    style = f"padding:1px 5px;border-radius:4px;background:#ecebe7;color:#1d1c1d;font-size:13px;{_MONO}"
    pieces = _COMMAND.split(step)
    return "".join(
        f'<code class="tag" style="{style}">{escape(piece)}</code>' if index % 2 else escape(piece)
        for index, piece in enumerate(pieces)
    )


def _footer(lines: tuple[str, ...]) -> str:
    style = "margin:0;padding:12px 0 0;border-top:1px solid #e2e0da;font-size:12.5px;color:#616061"
    return f'<p class="soft line" style="{style}">{"<br>".join(escape(line) for line in lines)}</p>'


def _farewell(link: Fact | None) -> str:
    if link is None or link.link is None:
        return ""
    style = "margin:8px 0 0;font-size:12.5px"
    return (
        f'<p style="{style}"><a class="link" href="{escape(link.link)}" style="color:#1264a3">'
        f"{escape(link.label)}</a></p>"
    )


def _lines(text: str) -> str:
    return escape(text).replace("\n", "<br>\n")
