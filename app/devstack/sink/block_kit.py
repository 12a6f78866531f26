"""What Slack accepts in a message: the rules of Block Kit, checked as Slack checks them.

Sources: docs.slack.dev/reference/block-kit/blocks and /composition-objects/text-object. Blocks that we never send are
checked for their type only. Lengths are counted in UTF-16 units, which is never less than Slack counts.
"""

from typing import Any, Final

MAX_BLOCKS: Final = 50
_UNCHECKED: Final = frozenset(
    {"actions", "context_actions", "file", "image", "input", "markdown", "rich_text", "table", "video"}
)
_KEYS: Final = {
    "header": {"type", "block_id", "text"},
    "section": {"type", "block_id", "text", "fields", "accessory", "expand"},
    "context": {"type", "block_id", "elements"},
    "divider": {"type", "block_id"},
}
_TEXT_KEYS: Final = {"plain_text": {"type", "text", "emoji"}, "mrkdwn": {"type", "text", "verbatim"}}
_HEADER_CHARACTERS: Final = 150
_SECTION_CHARACTERS: Final = 3000
_FIELD_CHARACTERS: Final = 2000
_BLOCK_ID_CHARACTERS: Final = 255
_MAX_FIELDS: Final = 10
_MAX_ELEMENTS: Final = 10


class SlackRefusalError(Exception):
    """Slack would refuse the message: its word for it, and in the message what is wrong where."""

    def __init__(self, word: str, why: str) -> None:
        super().__init__(why)
        self.word = word


def check(payload: Any) -> None:
    """Raise SlackRefusalError unless Slack would take `payload`."""
    if not isinstance(payload, dict):
        raise SlackRefusalError("invalid_payload", "the payload is not a JSON object")
    text = payload.get("text")
    if text is not None and not isinstance(text, str):
        raise SlackRefusalError("invalid_payload", "text is not a string")
    blocks = payload.get("blocks")
    if not text and not blocks and not payload.get("attachments"):
        raise SlackRefusalError("no_text", "there is neither text nor blocks")
    if blocks is None:
        return
    if not isinstance(blocks, list):
        raise SlackRefusalError("invalid_blocks_format", "blocks is not a list")
    _require(len(blocks) <= MAX_BLOCKS, f"there are more than {MAX_BLOCKS} blocks")
    for index, block in enumerate(blocks):
        _check_block(block, f"blocks[{index}]")


def _require(holds: bool, why: str) -> None:
    if not holds:
        raise SlackRefusalError("invalid_blocks", why)


def _check_block(block: Any, where: str) -> None:
    _require(isinstance(block, dict), f"{where} is not an object")
    kind = block.get("type")
    _require(isinstance(kind, str) and (kind in _KEYS or kind in _UNCHECKED), f"{where} has an unknown type")
    if kind in _KEYS:
        extra = sorted(block.keys() - _KEYS[kind])
        _require(not extra, f"{where} has an additional property")
    block_id = block.get("block_id", "")
    short = isinstance(block_id, str) and _width(block_id) <= _BLOCK_ID_CHARACTERS
    _require(short, f"{where}.block_id is not a short string")
    if kind == "header":
        _check_text(block.get("text"), f"{where}.text", _HEADER_CHARACTERS, kinds=("plain_text",))
    elif kind == "section":
        _check_section(block, where)
    elif kind == "context":
        _check_context(block, where)


def _check_section(block: dict[str, Any], where: str) -> None:
    _require("text" in block or "fields" in block, f"{where} has neither text nor fields")
    if "text" in block:
        _check_text(block["text"], f"{where}.text", _SECTION_CHARACTERS)
    if "fields" in block:
        fields = block["fields"]
        _require(isinstance(fields, list) and 1 <= len(fields) <= _MAX_FIELDS, f"{where}.fields is not 1 to 10 texts")
        for index, entry in enumerate(fields):
            _check_text(entry, f"{where}.fields[{index}]", _FIELD_CHARACTERS)


def _check_context(block: dict[str, Any], where: str) -> None:
    elements = block.get("elements")
    _require(
        isinstance(elements, list) and 1 <= len(elements) <= _MAX_ELEMENTS, f"{where}.elements is not 1 to 10 elements"
    )
    for index, element in enumerate(elements or []):
        at = f"{where}.elements[{index}]"
        if isinstance(element, dict) and element.get("type") == "image":
            _require(isinstance(element.get("alt_text"), str), f"{at}.alt_text is missing")
        else:
            _check_text(element, at, _SECTION_CHARACTERS)


def _check_text(entry: Any, where: str, limit: int, *, kinds: tuple[str, ...] = ("plain_text", "mrkdwn")) -> None:
    _require(isinstance(entry, dict), f"{where} is not a text object")
    kind = entry.get("type")
    _require(kind in kinds, f"{where}.type is not {' or '.join(kinds)}")
    _require(not entry.keys() - _TEXT_KEYS[kind], f"{where} has an additional property")
    text = entry.get("text")
    _require(isinstance(text, str) and text != "", f"{where}.text must be more than 0 characters")
    _require(_width(text) <= limit, f"{where}.text must be less than {limit + 1} characters")
    for flag in ("emoji", "verbatim"):
        _require(isinstance(entry.get(flag, False), bool), f"{where}.{flag} is not a boolean")


def _width(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
