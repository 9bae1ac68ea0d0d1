"""The application: which address shows what."""

from __future__ import annotations

import contextlib
import functools
import pathlib
import threading
import urllib.parse
from collections.abc import AsyncIterator, Callable

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from cappuccino.config.gates import GatesConfig
from cappuccino.dashboard.access import UNLOCK, Access, Guard
from cappuccino.dashboard.pages import Pages
from cappuccino.dashboard.record_pages import RecordPages
from cappuccino.dashboard.replays import Replays
from cappuccino.dashboard.static_files import plotly_file, static_file
from cappuccino.dashboard.studies import Studies
from cappuccino.dashboard.trader_pages import TraderPages
from cappuccino.errors import InputError

MOST_BYTES = 8192
"""Of a form."""


class Dashboard:
    """A folder of runs as pages. To be closed, if it is not served as `app` with its life span."""

    def __init__(self, runs_dir: pathlib.Path, gates: GatesConfig, access: Access) -> None:
        self._access, self._pages, self._replays = access, Pages(access), Replays()
        self._traders = TraderPages(runs_dir, self._pages, access, self._replays)
        self._records = RecordPages(runs_dir, self._pages, gates)

    def app(self) -> Guard:
        """The application, to be served once: when it ends, so does what is made in the background."""

        @contextlib.asynccontextmanager
        async def lifespan(app: Starlette) -> AsyncIterator[None]:
            del app
            threading.Thread(target=Studies.prepare, name="prepare", daemon=True).start()
            try:
                yield
            finally:
                self.close()

        traders, records = self._traders, self._records
        get = {
            "/": traders.traders,
            "/parts/traders": traders.traders_part,
            "/traders/{name:path}": traders.trader,
            "/parts/{part}/{name:path}": traders.trader_part,
            "/equity/{name:path}": traders.equity,
            "/registry": records.registry,
            "/parts/registry": records.registry_part,
            "/registry/compare": records.compare,
            "/registry/{checksum}": records.entry,
            "/studies": records.studies,
            "/parts/studies": records.studies_part,
            "/studies/{name:path}": records.study,
            "/data": records.data,
            UNLOCK: self.unlock_form,
            "/static/plotly.min.js": plotly_file,
            "/static/{name}": static_file,
        }
        post = {
            "/halt/{name:path}": traders.halt,
            "/resume/{name:path}": traders.resume,
            UNLOCK: self.unlock,
            "/lock": self.lock,
        }
        routes = [Route(path, self._shown(show), methods=["GET"]) for path, show in get.items()]
        routes += [Route(path, self._changed(change), methods=["POST"]) for path, change in post.items()]
        handlers = {404: self._no_page, 405: self._no_page}
        return Guard(Starlette(routes=routes, lifespan=lifespan, exception_handlers=handlers), self._access)  # type: ignore[arg-type]

    def close(self) -> None:
        """End what is made in the background."""
        self._replays.close()

    def _shown(self, show: Callable[[Request], Response]) -> Callable[[Request], Response]:
        @functools.wraps(show)
        def answer(request: Request) -> Response:
            if self._access.is_locked(request):
                return self._pages.answer(request, "unlock.html", 401, said="", back=request.url.path)
            try:
                return show(request)
            except InputError as error:
                return self._pages.said(request, 503, "This cannot be shown", str(error))

        return answer

    def _changed(self, change: Callable[[Request, dict[str, str]], Response]) -> Callable[..., object]:
        async def answer(request: Request) -> Response:
            if int(request.headers.get("content-length", MOST_BYTES + 1)) > MOST_BYTES:
                return self._pages.said(request, 413, "Too long", f"a form has {MOST_BYTES} bytes at most")
            form = dict(urllib.parse.parse_qsl((await request.body()).decode(errors="replace")))
            return await run_in_threadpool(change, request, form)

        return answer

    def _no_page(self, request: Request, error: HTTPException) -> Response:
        if self._access.is_locked(request):
            return self._pages.answer(request, "unlock.html", 401, said="", back="/")
        said = (
            error.detail if error.status_code == 404 and error.detail != "Not Found" else f"there is no page {request.url.path}"
        )
        return self._pages.said(request, error.status_code, "There is no such page", said)

    def unlock_form(self, request: Request) -> Response:
        """What asks for the token."""
        return self._pages.answer(request, "unlock.html", said="", back=request.query_params.get("back", "/"))

    def unlock(self, request: Request, form: dict[str, str]) -> Response:
        """Take the token and go back to where it was asked for."""
        back = form.get("back", "/")
        back = back if back.startswith("/") and not back.startswith(("//", "/\\")) else "/"
        if not self._access.is_token(form.get("token", "")):
            return self._pages.answer(request, "unlock.html", 403, said="That is not the token", back=back)
        answer = RedirectResponse(urllib.parse.quote(back), 303)
        self._access.remember(request, answer)
        return answer

    def lock(self, request: Request, form: dict[str, str]) -> Response:
        """Let the browser forget it."""
        del form
        answer = RedirectResponse("/", 303)
        self._access.forget(request, answer)
        return answer
