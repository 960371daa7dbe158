"""The web application: `/api/`, `/api/<version>/` and `/healthz`."""

import json
import threading
from collections.abc import Callable, Iterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from insights.errors import UserError
from insights.simulator.faults import Fault, drift, parse_fault
from insights.simulator.formats import VERSIONS
from insights.simulator.people import people
from insights.simulator.query import Query, read_query
from insights.simulator.recorded import Recording
from insights.simulator.responses import answer, damaged, error, refusal

FAULT_HEADER = "X-Fault"
_FILTERS = ("nat", "nationality", "gender", "inc", "exc", "lego")
_ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def create_app(recording: Recording | None = None, draw_fault: Callable[[], Fault | None] = lambda: None) -> Starlette:
    """The simulator. It serves `recording` when there is one, else people of its own.

    A request chooses its fault with `?fault=<name>` or the header `X-Fault`; otherwise `draw_fault` is asked.
    """

    one_at_a_time = threading.Lock()

    def api(request: Request) -> Response:
        version = request.path_params.get("version", VERSIONS[-1])
        if version not in VERSIONS:
            return error(f"There is no version {version!r}; choose from {', '.join(VERSIONS)}.", 404)
        parameters = dict(request.query_params)
        if parameters.get("format", parameters.get("fmt", "json")).lower() != "json":
            return error("This simulator answers in JSON only; leave format out or set it to json.", 400)
        chosen = parameters.get("fault") or request.headers.get(FAULT_HEADER)
        try:
            fault = parse_fault(chosen) if chosen else draw_fault()
        except UserError as mistake:
            return error(str(mistake), 400)
        if fault and (refused := refusal(fault)):
            return refused
        query = read_query(version, parameters)
        if recording is None:
            with one_at_a_time:
                body = _body(query, _generated(query), fault)
        else:
            if any(parameters.get(name) for name in _FILTERS):
                return error("Recorded answers cannot be filtered; leave out nat, gender, inc, exc and lego.", 400)
            body = _recorded(recording, query, fault)
        return damaged(fault, body) if fault else answer(body)

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok", "recorded": len(recording.rows) if recording else None})

    return Starlette(
        routes=[
            Route("/healthz", health),
            *(Route(path, api) for path in ("/api", "/api/", "/api/{version}", "/api/{version}/")),
        ]
    )


def _generated(query: Query) -> Iterator[bytes]:
    for record in people(query.crowd, query.results):
        yield _ENCODE({name: value for name, value in record.items() if name in query.fields}).encode()


def _recorded(recording: Recording, query: Query, fault: Fault | None) -> bytes:
    crowd = query.crowd
    exact = recording.answers.get((crowd.version, crowd.seed, crowd.page, query.results))
    if exact is not None and fault is None:
        return exact
    return _body(query, recording.page(crowd.page, query.results), fault)


def _body(query: Query, rows: Iterator[bytes], fault: Fault | None) -> bytes:
    if fault is Fault.DRIFT:
        rows = (drift(position, row) for position, row in enumerate(rows))
    kept = list(rows)
    if fault in (Fault.EMPTY, Fault.SHORT):
        kept = [] if fault is Fault.EMPTY else kept[:-1]
    info = {"seed": query.seed, "results": query.results, "page": query.crowd.page, "version": query.crowd.version}
    tail = b',"info":' + _ENCODE(info).encode() if query.info else b""
    return b'{"results":[' + b",".join(kept) + b"]" + tail + b"}"
