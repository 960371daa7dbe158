"""The web application: `/api/`, `/api/<version>/` and `/healthz`."""

import json
import threading
from collections.abc import Callable, Iterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from insights.errors import UserError
from insights.simulator.faults import Fault, drift_record, parse_fault
from insights.simulator.formats import VERSIONS
from insights.simulator.people import generate_people
from insights.simulator.query import Query, read_query
from insights.simulator.quota import Quota
from insights.simulator.recorded import Recording
from insights.simulator.responses import (
    make_damaged_response,
    make_error,
    make_fault_response,
    make_rate_limited,
    make_response,
)

FAULT_HEADER = "X-Fault"
_FILTERS = ("nat", "nationality", "gender", "inc", "exc", "lego")
_ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def create_app(
    recording: Recording | None = None,
    draw_fault: Callable[[], Fault | None] = lambda: None,
    quota: Quota | None = None,
) -> Starlette:
    """Create the simulator, which serves `recording` if there is one, else generated people, within `quota`.

    A request selects a fault by `?fault=<name>` or the header `X-Fault`; otherwise `draw_fault` selects it.
    """

    generating = threading.Lock()

    def respond(request: Request) -> Response:
        version = request.path_params.get("version", VERSIONS[-1])
        if version not in VERSIONS:
            return make_error(f"The version {version!r} does not exist: use one of {', '.join(VERSIONS)}.", 404)
        parameters = dict(request.query_params)
        if parameters.get("format", parameters.get("fmt", "json")).lower() != "json":
            return make_error("The simulator supports only JSON: omit format or set it to json.", 400)
        fault_name = parameters.get("fault") or request.headers.get(FAULT_HEADER)
        try:
            fault = parse_fault(fault_name) if fault_name else draw_fault()
        except UserError as error:
            return make_error(str(error), 400)
        if fault and (response := make_fault_response(fault)):
            return response
        query = read_query(version, parameters)
        if quota and not quota.take(request.client.host if request.client else "", query.results):
            return make_rate_limited()
        if recording is None:
            with generating:
                body = _build_body(query, _generate_rows(query), fault)
        else:
            if any(parameters.get(name) for name in _FILTERS):
                return make_error("Recorded responses cannot be filtered: omit nat, gender, inc, exc and lego.", 400)
            body = _build_recorded_body(recording, query, fault)
        return make_damaged_response(fault, body) if fault else make_response(body)

    async def respond_health(_: Request) -> Response:
        return JSONResponse({"status": "ok", "recorded": len(recording.rows) if recording else None})

    return Starlette(
        routes=[
            Route("/healthz", respond_health),
            *(Route(path, respond) for path in ("/api", "/api/", "/api/{version}", "/api/{version}/")),
        ]
    )


def _generate_rows(query: Query) -> Iterator[bytes]:
    for record in generate_people(query.crowd, query.results):
        yield _ENCODE({name: value for name, value in record.items() if name in query.fields}).encode()


def _build_recorded_body(recording: Recording, query: Query, fault: Fault | None) -> bytes:
    crowd = query.crowd
    recorded = recording.answers.get((crowd.version, crowd.seed, crowd.page, query.results))
    if recorded is not None and fault is None:
        return recorded
    return _build_body(query, recording.list_rows(crowd.page, query.results), fault)


def _build_body(query: Query, rows: Iterator[bytes], fault: Fault | None) -> bytes:
    if fault is Fault.DRIFT:
        rows = (drift_record(position, row) for position, row in enumerate(rows))
    records = list(rows)
    if fault in (Fault.EMPTY, Fault.SHORT):
        records = [] if fault is Fault.EMPTY else records[:-1]
    info = {"seed": query.seed, "results": query.results, "page": query.crowd.page, "version": query.crowd.version}
    tail = b',"info":' + _ENCODE(info).encode() if query.info else b""
    return b'{"results":[' + b",".join(records) + b"]" + tail + b"}"
