"""Bars from Alpaca's crypto data service (no keys needed): page by page, chunk by chunk, into frames or a store."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd
import requests
import rich.console
import rich.progress
import tenacity
from alpaca.common.exceptions import APIError
from alpaca.data.historical import CryptoHistoricalDataClient
from alpaca.data.requests import CryptoBarsRequest
from alpaca.data.timeframe import TimeFrame, TimeFrameUnit

from cappuccino.bars.clock import utc
from cappuccino.bars.frames import COLUMNS, check_frame, times
from cappuccino.bars.store import Appended, BarStore
from cappuccino.bars.table import Origin
from cappuccino.deadline import DeadlineSession
from cappuccino.errors import InputError

PAGE_BARS = 10_000
"""The most bars Alpaca puts on a page, over all symbols; a chunk of a download is about one full page."""

RESTATABLE_BARS = 3
"""The newest bars of a store that are fetched again when a download resumes: late trades revise them."""

ORIGIN = Origin(source="alpaca", venue="alpaca", quote="USD")


@dataclasses.dataclass(frozen=True)
class RequestPolicy:
    """How long one request may take in all, how often it is tried, and the first pause between tries, which doubles.

    The default outlasts a rate limit that resets every minute.
    """

    deadline_seconds: float = 30.0
    attempts: int = 7
    pause_seconds: float = 1.0


class Chunk(NamedTuple):
    """Bars opening from `start` to before `stop`; an asset without any is absent."""

    start: int
    stop: int
    frames: dict[str, pd.DataFrame]


def fetch_alpaca(
    assets: Sequence[str],
    *,
    bar_seconds: int,
    start: int,
    stop: int,
    now: int,
    url: str | None = None,
    policy: RequestPolicy | None = None,
    console: rich.console.Console | None = None,
) -> dict[str, pd.DataFrame]:
    """Frames (`frames.COLUMNS`) of the assets' completed bars that open from `start` to before `stop`, in memory.

    bar_seconds is a number of minutes below an hour or of hours below a day (Alpaca's daily bars open at midnight in New
    York or Chicago, not UTC: fetch hours and resample). The bar still running at `now` is dropped. `url` is the base URL,
    Alpaca's own where None. A progress bar is shown on `console` if there is one. GETs are tried again after a failed
    connection, a missed deadline, 429 and 5xx.

    Raises InputError if the service cannot be reached or refuses, if it answers with a page token it gave before, with
    bars outside the range, or broken ones, and for an asset of which it has no bar.
    """
    parts: dict[str, list[pd.DataFrame]] = {asset: [] for asset in assets}
    begins = dict.fromkeys(assets, start)
    for chunk in _chunks(begins, bar_seconds, stop, now, url, policy or RequestPolicy(), console):
        for asset, frame in chunk.frames.items():
            parts[asset].append(frame)
    empty = [f"{asset}/{ORIGIN.quote}" for asset in assets if not parts[asset]]
    if empty:
        raise InputError(f"Alpaca has no bars of {', '.join(empty)} from {utc(start)} to {utc(stop)}")
    return {asset: pd.concat(frames, ignore_index=True) for asset, frames in parts.items()}


def download(
    store: BarStore,
    assets: Sequence[str],
    *,
    bar_seconds: int,
    start: int,
    stop: int,
    now: int,
    url: str | None = None,
    policy: RequestPolicy | None = None,
    console: rich.console.Console | None = None,
) -> dict[str, Appended]:
    """Fetches into a store, chunk by chunk, and says what was added and restated of every asset.

    Stopped at any moment, it resumes: each asset goes on from RESTATABLE_BARS before its newest bar in the store. Otherwise
    like `fetch_alpaca`. A store grows forwards only: InputError if `start` is before the start it was made with.
    """
    if store.exists() and store.manifest()["start"] > start:
        made = utc(store.manifest()["start"])
        raise InputError(f"{store.path} was downloaded from {made} on; for bars from {utc(start)} use another folder")
    begins = {}
    for asset in assets:
        last = store.last(asset)
        begins[asset] = start if last is None else max(start, last - (RESTATABLE_BARS - 1) * bar_seconds)
    total = {asset: Appended(0, 0, ()) for asset in assets}
    for chunk in _chunks(begins, bar_seconds, stop, now, url, policy or RequestPolicy(), console):
        if not chunk.frames:
            continue
        for asset, new in store.append(chunk.frames, bar_seconds=bar_seconds, origin=ORIGIN, start=start).items():
            old = total[asset]
            total[asset] = Appended(old.added + new.added, old.unchanged + new.unchanged, (*old.restated, *new.restated))
    empty = [f"{asset}/{ORIGIN.quote}" for asset in assets if store.last(asset) is None]
    if empty:
        raise InputError(f"Alpaca has no bars of {', '.join(empty)} from {utc(start)} to {utc(stop)}")
    return total


def _chunks(
    begins: Mapping[str, int],
    bar_seconds: int,
    stop: int,
    now: int,
    url: str | None,
    policy: RequestPolicy,
    console: rich.console.Console | None,
) -> Iterator[Chunk]:
    """Every asset's bars from its own begin on, in spans of about one page."""
    timeframe = _timeframe(bar_seconds)
    stop = min(stop, now)
    if not begins:
        raise InputError("there are no assets to fetch")
    start = min(begins.values())
    if start % bar_seconds:
        raise InputError(f"start {utc(start)} is not the opening of a {bar_seconds} s bar")
    if start >= stop:
        raise InputError(f"start {utc(start)} must be before stop {utc(stop)}, which is at most now")
    client = _Pages(url, policy)
    span = max(1, PAGE_BARS // len(begins)) * bar_seconds
    with _progress(console) as progress:
        task = progress.add_task(f"Alpaca, {', '.join(begins)}", total=stop - start, bars=0)
        bars = 0
        for first in range(start, stop, span):
            last = min(first + span, stop)
            wanted = [asset for asset, begin in begins.items() if begin < last]
            frames = client.bars(wanted, timeframe, bar_seconds, first, last, now) if wanted else {}
            bars += sum(len(frame) for frame in frames.values())
            yield Chunk(first, last, frames)
            progress.update(task, completed=last - start, bars=bars)


class _Pages(CryptoHistoricalDataClient):
    """alpaca-py's client and its paging, with a deadline and our own retries a page, and an end to endless paging."""

    def __init__(self, url: str | None, policy: RequestPolicy) -> None:
        super().__init__(raw_data=True, url_override=None if url is None else url.rstrip("/"))
        self._retry = 0
        self._session = DeadlineSession(policy.deadline_seconds)
        self._policy = policy
        self._tokens: set[str] = set()

    def bars(
        self, assets: Sequence[str], timeframe: TimeFrame, bar_seconds: int, start: int, stop: int, now: int
    ) -> dict[str, pd.DataFrame]:
        """The completed bars that open in [start, stop); an asset without any is absent."""
        self._tokens.clear()
        symbols = {f"{asset}/{ORIGIN.quote}": asset for asset in assets}
        request = CryptoBarsRequest(
            symbol_or_symbols=list(symbols),
            timeframe=timeframe,
            start=datetime.datetime.fromtimestamp(start, datetime.UTC),
            end=datetime.datetime.fromtimestamp(stop - 1, datetime.UTC),
        )
        answer: Any = self.get_crypto_bars(request)
        unknown = sorted(set(answer) - set(symbols))
        if unknown:
            raise InputError(f"Alpaca answered with bars of {', '.join(unknown)}, which were not asked for")
        frames = {}
        for symbol, rows in answer.items():
            frame = _frame(symbol, rows)
            time = times(frame)
            if ((time < start) | (time >= stop)).any():
                bar = time[(time < start) | (time >= stop)][0]
                raise InputError(f"Alpaca gave a bar of {symbol} at {utc(bar)}, outside {utc(start)} to {utc(stop)}")
            complete = frame.loc[time + bar_seconds <= now]
            if len(complete):
                check_frame(symbols[symbol], complete, bar_seconds)
                frames[symbols[symbol]] = complete
        return frames

    def get(self, path: str, data: Any = None, **kwargs: Any) -> Any:
        """One page: alpaca-py's GET under a deadline, tried again where that may help."""
        token = data.get("page_token")
        if token in self._tokens:
            raise InputError(f"Alpaca gave the page token {token} twice: its pages would never end")
        if token is not None:
            self._tokens.add(token)
        if len(self._tokens) > PAGE_BARS:
            raise InputError(f"Alpaca at {self._base_url} gave more pages than a chunk has bars")
        policy, pause = self._policy, self._policy.pause_seconds
        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(policy.attempts),
            wait=tenacity.wait_exponential(multiplier=pause, max=30) + tenacity.wait_random(0, pause),
            retry=tenacity.retry_if_exception(_may_pass),
            reraise=True,
        )
        try:
            answer = retrying(super().get, path, dict(data), **kwargs)
        except requests.Timeout as error:
            late = f"no answer within {policy.deadline_seconds:g} s, {policy.attempts} times"
            raise InputError(f"Alpaca at {self._base_url}: {late}") from error
        except (APIError, requests.RequestException) as error:
            raise InputError(f"Alpaca at {self._base_url}: {_one_line(error)}") from error
        if not isinstance(answer, dict) or not isinstance(answer.get("bars"), dict):
            raise InputError(f"Alpaca at {self._base_url} answered without bars: {str(answer)[:100]}")
        return answer


def _may_pass(error: BaseException) -> bool:
    """Whether the same request may succeed later."""
    if isinstance(error, APIError):
        return error.status_code is None or error.status_code == 429 or error.status_code >= 500
    transient = (requests.ConnectionError, requests.Timeout, requests.JSONDecodeError, requests.exceptions.ChunkedEncodingError)
    return isinstance(error, transient)


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())[:200] or type(error).__name__
    return f"HTTP {error.status_code}, {text}" if isinstance(error, APIError) else text


def _frame(symbol: str, rows: Any) -> pd.DataFrame:
    """The bars of one symbol in the columns of `frames.COLUMNS`."""
    try:
        opening = pd.to_datetime([row["t"] for row in rows], utc=True, format="ISO8601")
        if (opening != opening.floor("s")).any():
            raise ValueError("its time is not a whole second")
        values = {name: [float(row[name[0]]) for row in rows] for name in COLUMNS[1:]}
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"Alpaca gave a bar of {symbol} that cannot be read: {_one_line(error)}") from error
    return pd.DataFrame({"timestamp": opening.as_unit("s").astype("int64"), **values})


def _timeframe(bar_seconds: int) -> TimeFrame:
    if 0 < bar_seconds < 3600 and bar_seconds % 60 == 0:
        return TimeFrame(bar_seconds // 60, TimeFrameUnit("Min"))
    if 3600 <= bar_seconds < 86_400 and bar_seconds % 3600 == 0:
        return TimeFrame(bar_seconds // 3600, TimeFrameUnit("Hour"))
    raise InputError(f"Alpaca has no bars of {bar_seconds} s; minutes below an hour or hours below a day it has")


def _progress(console: rich.console.Console | None) -> rich.progress.Progress:
    return rich.progress.Progress(
        rich.progress.TextColumn("{task.description}"),
        rich.progress.BarColumn(),
        rich.progress.TextColumn("{task.fields[bars]} bars"),
        rich.progress.TimeRemainingColumn(),
        console=console,
        disable=console is None,
    )
