"""What shows the API: to programs at `/openapi.json`, to people at `/docs`."""

from typing import Final

from fastapi import Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse

from app.web.routing import Router

_CDN: Final = "https://cdn.jsdelivr.net"
_POLICY: Final = (
    f"default-src 'none'; script-src 'unsafe-inline' {_CDN}; style-src 'unsafe-inline' {_CDN}; "
    "img-src data:; connect-src 'self'; frame-ancestors 'none'"
)

router = Router(tags=["health"], include_in_schema=False)


@router.head("/openapi.json")
@router.get("/openapi.json")
async def show_schema(request: Request) -> Response:
    """The schema of the application (app/web/openapi.py)."""
    root_path = request.scope.get("root_path", "").rstrip("/")
    return Response(await request.app.state.schema_as_json(root_path), media_type="application/json")


@router.get("/docs", response_class=HTMLResponse)
async def show_docs(request: Request) -> HTMLResponse:
    """Swagger UI, which its own CDN delivers: the page and nothing else may load scripts from there."""
    page = get_swagger_ui_html(openapi_url="/openapi.json", title=request.app.title, swagger_favicon_url="data:,")
    page.headers["Content-Security-Policy"] = _POLICY
    return page
