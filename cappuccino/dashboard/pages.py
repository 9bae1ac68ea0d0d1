"""Pages and their parts as answers: Jinja's templates, an ETag each, so that a part that is as it was costs no transfer."""

from __future__ import annotations

import hashlib
from typing import Any

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from cappuccino.dashboard.access import Access
from cappuccino.dashboard.shown import FILTERS

PARTS = (("/", "Traders"), ("/registry", "Registry"), ("/studies", "Studies"), ("/data", "Data"))
"""Of the navigation."""


class Pages:
    """Renders templates. Errors are said in words, with the status that is right; the traceback of a defect stays in the console."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._templates = jinja2.Environment(
            loader=jinja2.PackageLoader("cappuccino.dashboard"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters.update(FILTERS)

    def answer(self, request: Request, template: str, status: int = 200, **values: Any) -> Response:
        """A page or a part of one; 304 where the asker has it already."""
        html = self._templates.get_template(template).render(
            path=request.url.path, parts=PARTS, is_unlocked=self._access.knows(request), **values
        )
        return unless_known(request, HTMLResponse(html, status))

    def said(self, request: Request, status: int, title: str, said: str) -> Response:
        """A page that says what is wrong; to htmx only the words."""
        if "hx-request" in request.headers:
            return self.words(request, status, said)
        return self.answer(request, "said.html", status, title=title, said=said)

    def words(self, request: Request, status: int, said: str) -> Response:
        """What is said alone, without its full stop."""
        return self.answer(request, "_said.html", status, said=said, is_fault=status >= 400)


def json_answer(request: Request, value: Any) -> Response:
    """Plain data; 304 where the asker has it already."""
    return unless_known(request, JSONResponse(value))


def unless_known(request: Request, response: Response) -> Response:
    """The answer with its ETag; 304 in its place where the request names that."""
    tag = f'"{hashlib.sha256(bytes(response.body)).hexdigest()[:20]}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache", "Vary": "Cookie, HX-Request"}
    if response.status_code == 200 and request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    response.headers.update(headers)
    return response
