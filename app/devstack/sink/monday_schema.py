"""The part of monday's GraphQL schema that we use, executed for real: parsed, validated and coerced by graphql-core.

Names, types and nullability: developer.monday.com/api-reference/reference, pages items, items-page-by-column-values, me
and version.
"""

from typing import Any, Final

from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLError,
    GraphQLScalarType,
    GraphQLSyntaxError,
    OperationDefinitionNode,
    OperationType,
    build_schema,
    execute_sync,
    parse,
    validate,
)

from app.devstack.sink.board import Board, Item, MondayError, text_of

MAX_TOKENS: Final = 2000

_SDL: Final = """
scalar JSON

type ColumnValue { id: ID!, type: String!, text: String, value: JSON }
type Item { id: ID!, name: String!, column_values(ids: [String!]): [ColumnValue!]! }
type ItemsResponse { cursor: String, items: [Item!]! }
input ItemsPageByColumnValuesQuery { column_id: String!, column_values: [String]! }
type User { id: ID!, name: String! }
type Version { kind: String!, value: String!, display_name: String! }

type Query {
  me: User
  version: Version!
  items_page_by_column_values(
    board_id: ID!, columns: [ItemsPageByColumnValuesQuery!], cursor: String, limit: Int! = 25
  ): ItemsResponse!
}
type Mutation {
  create_item(
    board_id: ID!, item_name: String!, column_values: JSON, group_id: String, create_labels_if_missing: Boolean
  ): Item
  delete_item(item_id: ID): Item
}
"""


def _json_text(value: Any) -> str:
    if not isinstance(value, str):
        raise GraphQLError("JSON must be sent as a string")
    return value


def _schema() -> Any:
    schema = build_schema(_SDL)
    json = schema.type_map["JSON"]
    if isinstance(json, GraphQLScalarType):
        # A variable is read by the one, a literal by way of the other.
        json.coerce_input_value = _json_text
        json.parse_value = _json_text  # type: ignore[method-assign]
    return schema


_SCHEMA: Final = _schema()


class RequestError(Exception):
    """The query is refused before anything runs: monday's code, and GraphQL's errors."""

    def __init__(self, code: str, errors: list[GraphQLError]) -> None:
        super().__init__(errors[0].message)
        self.code = code
        self.errors = errors


def prepare(query: str) -> DocumentNode:
    """The query parsed and checked against the schema; RequestError when it is not valid."""
    try:
        document = parse(query, max_tokens=MAX_TOKENS)
    except GraphQLSyntaxError as broken:
        raise RequestError("GRAPHQL_PARSE_FAILED", [broken]) from None
    errors = validate(_SCHEMA, document)
    if errors:
        raise RequestError("GRAPHQL_VALIDATION_FAILED", errors)
    return document


def is_mutation(document: DocumentNode) -> bool:
    """Whether the document holds a mutation, the only thing that an Idempotency-Key is for."""
    return any(
        isinstance(part, OperationDefinitionNode) and part.operation is OperationType.MUTATION
        for part in document.definitions
    )


def run(document: DocumentNode, variables: dict[str, Any], root: "Root") -> ExecutionResult:
    """Execute. Errors of the board carry monday's `extensions`; RequestError when the variables do not fit."""
    result = execute_sync(_SCHEMA, document, root, variable_values=variables)
    if result.errors and all(error.path is None for error in result.errors):
        raise RequestError("BAD_USER_INPUT", list(result.errors))
    return result


class Root:
    """What the query's top fields resolve to. Remembers the items that this request created, and those it deleted."""

    def __init__(self, board: Board, version: str) -> None:
        self._board = board
        self._version = version
        self.created: list[Item] = []
        self.deleted: list[Item] = []

    def me(self, _info: Any) -> dict[str, str]:
        """The token's user."""
        return {"id": "1", "name": "NovaHouse sink"}

    def version(self, _info: Any) -> dict[str, str]:
        """The API version that the request asked for."""
        return {"kind": "current", "value": self._version, "display_name": self._version}

    def create_item(
        self, _info: Any, *, board_id: str, item_name: str, column_values: str | None = None, **_ignored: Any
    ) -> dict[str, Any]:
        """Add an item to the board."""
        try:
            item = self._board.create(board_id, item_name, column_values)
        except MondayError as refused:
            raise _graphql(refused) from None
        self.created.append(item)
        return self._shown(item)

    def delete_item(self, _info: Any, *, item_id: str = "") -> dict[str, Any]:
        """Take an item off the board."""
        try:
            item = self._board.delete(item_id)
        except MondayError as refused:
            raise _graphql(refused) from None
        self.deleted.append(item)
        return self._shown(item)

    def items_page_by_column_values(
        self, _info: Any, *, board_id: str, limit: int, columns: list[dict[str, Any]] | None = None, **_ignored: Any
    ) -> dict[str, Any]:
        """Items that match every one of `columns`."""
        try:
            matches = [
                self._board.find(board_id, column["column_id"], column["column_values"]) for column in columns or []
            ]
        except MondayError as refused:
            raise _graphql(refused) from None
        found = [item for item in (matches[0] if matches else []) if all(item in match for match in matches)]
        return {"cursor": None, "items": [self._shown(item) for item in found[:limit]]}

    def _shown(self, item: Item) -> dict[str, Any]:
        def column_values(_info: Any, ids: list[str] | None = None) -> list[dict[str, Any]]:
            return [
                {"id": column, "type": self._board.types[column], "text": text_of(value), "value": value}
                for column, value in item.values.items()
                if ids is None or column in ids
            ]

        return {"id": item.id, "name": item.name, "column_values": column_values}


def _graphql(refused: MondayError) -> GraphQLError:
    return GraphQLError(
        str(refused), extensions={"code": refused.code, "status_code": 200, "error_data": dict(refused.data)}
    )
