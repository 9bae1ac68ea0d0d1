"""The application: which address shows what."""

from __future__ import annotations

import contextlib
import functools
import gzip
import pathlib
import re
import urllib.parse
from collections.abc import AsyncIterator, Callable

import plotly
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Route

from cappuccino.config.gates import GatesConfig
from cappuccino.dashboard import kill_switch, registered
from cappuccino.dashboard.access import UNLOCK, Access, Guard
from cappuccino.dashboard.coverage import Coverage
from cappuccino.dashboard.equity import CAUSE_MEANING, chart
from cappuccino.dashboard.pages import Pages, json_answer
from cappuccino.dashboard.replays import Replays
from cappuccino.dashboard.studies import Studies
from cappuccino.dashboard.traders import NEWEST_ORDERS, ORDER_STATES, Standing, Trader, traders_below
from cappuccino.errors import InputError

_STATIC = pathlib.Path(__file__).parent / "static"
MOST_BYTES = 8192
"""Of a form."""
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


class Dashboard:
    """What is shown of a folder of runs, page by page. All of it is read again for each answer, but for what `Replays`, `Studies` and
    `Coverage` keep."""

    def __init__(self, runs_dir: pathlib.Path, gates: GatesConfig, access: Access) -> None:
        self._runs_dir, self._gates, self._access = runs_dir, gates, access
        self._pages = Pages(access)
        self._replays, self._studies, self._coverage = Replays(), Studies(runs_dir), Coverage(runs_dir)

    def app(self) -> Guard:
        """To be served once: when it ends, so does what is made in the background."""

        @contextlib.asynccontextmanager
        async def lifespan(app: Starlette) -> AsyncIterator[None]:
            del app
            try:
                yield
            finally:
                self.close()

        get = {
            "/": self.traders,
            "/parts/traders": self.traders_part,
            "/traders/{name:path}": self.trader,
            "/parts/{part}/{name:path}": self.trader_part,
            "/equity/{name:path}": self.equity,
            "/registry": self.registry,
            "/parts/registry": self.registry_part,
            "/registry/compare": self.compare,
            "/registry/{checksum}": self.entry,
            "/studies": self.studies,
            "/parts/studies": self.studies_part,
            "/studies/{name:path}": self.study,
            "/data": self.data,
            UNLOCK: self.unlock_form,
            "/static/plotly.min.js": _plotly,
            "/static/{name}": _static,
        }
        post = {"/halt/{name:path}": self.halt, "/resume/{name:path}": self.resume, UNLOCK: self.unlock, "/lock": self.lock}
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
            return await run_in_threadpool(change, request, dict(urllib.parse.parse_qsl((await request.body()).decode())))

        return answer

    def _no_page(self, request: Request, error: HTTPException) -> Response:
        if self._access.is_locked(request):
            return self._pages.answer(request, "unlock.html", 401, said="", back="/")
        said = (
            error.detail if error.status_code == 404 and error.detail != "Not Found" else f"there is no page {request.url.path}"
        )
        return self._pages.said(request, error.status_code, "There is no such page", said)

    # ---- traders

    def traders(self, request: Request) -> Response:
        return self._pages.answer(request, "traders.html", **self._traders())

    def traders_part(self, request: Request) -> Response:
        return self._pages.answer(request, "_traders.html", **self._traders())

    def _traders(self) -> dict[str, object]:
        standings: dict[str, Standing | str] = {}
        for name in traders_below(self._runs_dir):
            try:
                standings[name] = Trader(self._runs_dir, name).standing()
            except InputError as error:
                standings[name] = str(error)
        return {"standings": standings, "runs_dir": self._runs_dir}

    def trader(self, request: Request) -> Response:
        trader = self._trader(request)
        values = {**self._figures(trader), **self._orders(request, trader), **self._holdings(trader), **self._record(trader)}
        return self._pages.answer(
            request, "trader.html", **values, plotly_version=plotly.__version__, plotly_styles=_plotly_styles()
        )

    def trader_part(self, request: Request) -> Response:
        trader, part = self._trader(request), request.path_params["part"]
        if part == "figures":
            return self._pages.answer(request, "_figures.html", **self._figures(trader))
        if part == "orders":
            return self._pages.answer(request, "_orders.html", **self._orders(request, trader))
        if part == "holdings":
            return self._pages.answer(request, "_holdings.html", **self._holdings(trader))
        if part == "record":
            return self._pages.answer(request, "_record.html", **self._record(trader))
        raise HTTPException(404)

    def _trader(self, request: Request) -> Trader:
        name = request.path_params["name"]
        if name not in traders_below(self._runs_dir):
            raise HTTPException(
                404, f"there is no trader {name} below {self._runs_dir}: it was never started, or its folder is gone"
            )
        return Trader(self._runs_dir, name)

    def _figures(self, trader: Trader) -> dict[str, object]:
        return {"trader": trader, "standing": trader.standing()}

    def _orders(self, request: Request, trader: Trader) -> dict[str, object]:
        state = request.query_params.get("state")
        state = state if state in ORDER_STATES else None
        rows = trader.orders(None if state is None else (state,))
        counts = trader.standing().counts
        return {
            "trader": trader,
            "chosen": state,
            "counts": counts,
            "states": ORDER_STATES,
            "orders": rows,
            "most": NEWEST_ORDERS,
        }

    def _holdings(self, trader: Trader) -> dict[str, object]:
        try:
            distances, unknown = trader.distances(), ""
        except InputError as error:
            distances, unknown = None, str(error)
        return {"trader": trader, "positions": trader.positions(), "distances": distances, "unknown": unknown}

    def _record(self, trader: Trader) -> dict[str, object]:
        replay = self._replays.of(trader, trader.standing().last_bar)
        return {
            "trader": trader,
            "replay": replay,
            "meaning": CAUSE_MEANING,
            "undecided": trader.undecided(),
            "warnings": trader.warnings(),
            "halts": trader.halts(),
            "adjustments": trader.adjustments(),
        }

    def equity(self, request: Request) -> Response:
        trader = self._trader(request)
        return json_answer(request, chart(trader, self._replays))

    def halt(self, request: Request, form: dict[str, str]) -> Response:
        return kill_switch.halt(self._pages, self._access, self._trader(request), request, form)

    def resume(self, request: Request, form: dict[str, str]) -> Response:
        return kill_switch.resume(self._pages, self._access, self._trader(request), request, form)

    # ---- registry, studies, data

    def registry(self, request: Request) -> Response:
        return self._pages.answer(request, "registry.html", **self._registry())

    def registry_part(self, request: Request) -> Response:
        return self._pages.answer(request, "_registry.html", **self._registry())

    def _registry(self) -> dict[str, object]:
        by_state, studies = registered.shown_entries(self._runs_dir, self._gates)
        return {"by_state": by_state, "studies": studies}

    def entry(self, request: Request) -> Response:
        return self._pages.answer(
            request, "entry.html", shown=registered.shown_entry(self._runs_dir, request.path_params["checksum"], self._gates)
        )

    def compare(self, request: Request) -> Response:
        names = list(dict.fromkeys(request.query_params.getlist("artifact")))
        if len(names) < 2:
            return self._pages.said(request, 400, "Compare artifacts", "choose two artifacts or more in the registry")
        several = [registered.shown_entry(self._runs_dir, name, self._gates) for name in names]
        return self._pages.answer(request, "compare.html", several=several, rows=registered.side_by_side(several))

    def studies(self, request: Request) -> Response:
        return self._pages.answer(request, "studies.html", studies=self._studies.all(), url=self._studies.url)

    def studies_part(self, request: Request) -> Response:
        return self._pages.answer(request, "_studies.html", studies=self._studies.all(), url=self._studies.url)

    def study(self, request: Request) -> Response:
        name = request.path_params["name"]
        try:
            return self._pages.answer(request, "study.html", study=self._studies.one(name), url=self._studies.url)
        except KeyError:
            raise HTTPException(404, f"there is no study {name} in {self._studies.path}") from None

    def data(self, request: Request) -> Response:
        return self._pages.answer(request, "data.html", traders=self._coverage.of_traders(), stores=self._coverage.stores())

    # ---- the token

    def unlock_form(self, request: Request) -> Response:
        return self._pages.answer(request, "unlock.html", said="", back=request.query_params.get("back", "/"))

    def unlock(self, request: Request, form: dict[str, str]) -> Response:
        """Take the token and go back to where it was asked for."""
        back = form.get("back", "/")
        back = back if back.startswith("/") and not back.startswith(("//", "/\\")) else "/"
        if not self._access.is_token(form.get("token", "")):
            return self._pages.answer(request, "unlock.html", 403, said="that is not the token", back=back)
        answer = RedirectResponse(urllib.parse.quote(back), 303)
        self._access.remember(request, answer)
        return answer

    def lock(self, request: Request, form: dict[str, str]) -> Response:
        """Let the browser forget it."""
        del form
        answer = RedirectResponse("/", 303)
        self._access.forget(request, answer)
        return answer


def _static(request: Request) -> Response:
    path = _STATIC / request.path_params["name"]
    if path.suffix not in _TYPES or path.parent != _STATIC or not path.is_file():
        raise HTTPException(404)
    return FileResponse(path, media_type=_TYPES[path.suffix], headers={"Cache-Control": "private, no-cache"})


def _plotly(request: Request) -> Response:
    """From the Python package; its address has the version, so that it may be kept for good."""
    headers = {"Cache-Control": "private, max-age=31536000, immutable", "Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(_packed_plotly(), media_type="text/javascript", headers={**headers, "Content-Encoding": "gzip"})
    return FileResponse(_PLOTLY, media_type="text/javascript", headers=headers)


_PLOTLY = pathlib.Path(plotly.__file__).parent / "package_data" / "plotly.min.js"


@functools.cache
def _plotly_styles() -> list[str]:
    """Ids of the style elements that plotly.js makes for its maps when it is loaded, where none of that id is there."""
    return re.findall(r'getElementById\("([0-9a-f]{64})"\)', _PLOTLY.read_text(encoding="utf-8"))


@functools.cache
def _packed_plotly() -> bytes:
    return gzip.compress(_PLOTLY.read_bytes(), 6)
