"""The pages of what was found and what it was found in: registry, studies, bars."""

from __future__ import annotations

import pathlib
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from cappuccino.config.gates import GatesConfig
from cappuccino.dashboard import registered
from cappuccino.dashboard.coverage import Coverage
from cappuccino.dashboard.pages import Pages
from cappuccino.dashboard.studies import Studies


class RecordPages:
    """Methods raise InputError for what cannot be read, and HTTPException for what is not there."""

    def __init__(self, runs_dir: pathlib.Path, pages: Pages, gates: GatesConfig) -> None:
        self._runs_dir, self._pages, self._gates = runs_dir, pages, gates
        self._studies, self._coverage = Studies(runs_dir), Coverage(runs_dir)

    def registry(self, request: Request) -> Response:
        """All artifacts with their gates."""
        return self._pages.answer(request, "registry.html", **self._registry())

    def registry_part(self, request: Request) -> Response:
        """These alone."""
        return self._pages.answer(request, "_registry.html", **self._registry())

    def _registry(self) -> dict[str, Any]:
        by_state, studies = registered.shown_entries(self._runs_dir, self._gates)
        return {"by_state": by_state, "studies": studies}

    def entry(self, request: Request) -> Response:
        """One artifact."""
        return self._pages.answer(
            request, "entry.html", shown=registered.shown_entry(self._runs_dir, request.path_params["checksum"], self._gates)
        )

    def compare(self, request: Request) -> Response:
        """Several side by side, those that the query names as `artifact`."""
        names = list(dict.fromkeys(request.query_params.getlist("artifact")))
        if len(names) < 2:
            return self._pages.said(request, 400, "Compare artifacts", "choose two artifacts or more in the registry")
        several = [registered.shown_entry(self._runs_dir, name, self._gates) for name in names]
        return self._pages.answer(request, "compare.html", several=several, rows=registered.side_by_side(several))

    def studies(self, request: Request) -> Response:
        """All studies."""
        return self._pages.answer(request, "studies.html", studies=self._studies.all(), url=self._studies.url)

    def studies_part(self, request: Request) -> Response:
        """The table alone."""
        return self._pages.answer(request, "_studies.html", studies=self._studies.all(), url=self._studies.url)

    def study(self, request: Request) -> Response:
        """One study."""
        name = request.path_params["name"]
        try:
            return self._pages.answer(request, "study.html", study=self._studies.one(name), url=self._studies.url)
        except KeyError:
            raise HTTPException(404, f"there is no study {name} in {self._studies.path}") from None

    def data(self, request: Request) -> Response:
        """The bars that there are."""
        return self._pages.answer(request, "data.html", traders=self._coverage.of_traders(), stores=self._coverage.stores())
