"""Files of the page: ours, htmx, and plotly.js from its Python package."""

from __future__ import annotations

import functools
import gzip
import pathlib
import re

import plotly
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response

_STATIC = pathlib.Path(__file__).parent / "static"
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_PLOTLY = pathlib.Path(plotly.__file__).parent / "package_data" / "plotly.min.js"


def static_file(request: Request) -> Response:
    path = _STATIC / request.path_params["name"]
    if path.suffix not in _TYPES or path.parent != _STATIC or not path.is_file():
        raise HTTPException(404)
    return FileResponse(path, media_type=_TYPES[path.suffix], headers={"Cache-Control": "private, no-cache"})


def plotly_file(request: Request) -> Response:
    """From the Python package; its address has the version, so that it may be kept for good."""
    headers = {"Cache-Control": "private, max-age=31536000, immutable", "Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(_packedplotly_file(), media_type="text/javascript", headers={**headers, "Content-Encoding": "gzip"})
    return FileResponse(_PLOTLY, media_type="text/javascript", headers=headers)


@functools.cache
def plotly_styles() -> list[str]:
    """Ids of the style elements that plotly.js makes for its maps when it is loaded, where none of that id is there."""
    return re.findall(r'getElementById\("([0-9a-f]{64})"\)', _PLOTLY.read_text(encoding="utf-8"))


@functools.cache
def _packedplotly_file() -> bytes:
    return gzip.compress(_PLOTLY.read_bytes(), 6)
