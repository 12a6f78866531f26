"""The page that shows the API to people, at `/docs`."""

from typing import Final

from fastapi import Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse

from app.web.routing import Router

_CDN: Final = "https://cdn.jsdelivr.net"
_POLICY: Final = (
    f"default-src 'none'; script-src 'unsafe-inline' {_CDN}; style-src 'unsafe-inline' {_CDN}; "
    "img-src data:; connect-src 'self'; frame-ancestors 'none'"
)

router = Router(tags=["health"], include_in_schema=False)


@router.get("/docs", response_class=HTMLResponse)
async def show_docs(request: Request) -> HTMLResponse:
    """Swagger UI, which its own CDN delivers: the page and nothing else may load scripts from there."""
    page = get_swagger_ui_html(openapi_url="/openapi.json", title=request.app.title, swagger_favicon_url="data:,")
    page.headers["Content-Security-Policy"] = _POLICY
    return page
