"""A client of Airflow's public REST API (v2): list the last runs of a DAG, and trigger one."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import quote

import requests

from insights.errors import UserError
from insights.settings import AirflowSettings

Auth = Callable[[requests.PreparedRequest], requests.PreparedRequest]
_UNAUTHORIZED = (401, 403)
_MAX_DETAIL_CHARACTERS = 200
_tokens: dict[AirflowSettings, str] = {}
"""Cached token of each login, valid until Airflow rejects it."""


class DagRun(NamedTuple):
    """A run of a DAG."""

    run_id: str
    state: str
    """`queued`, `running`, `success` or `failed`."""
    run_type: str
    """`manual`, `scheduled`, ..."""
    started_at: datetime | None
    ended_at: datetime | None
    conf: Mapping[str, Any]
    """The configuration that it was triggered with."""


def list_last_runs(settings: AirflowSettings, dag_id: str, limit: int) -> list[DagRun]:
    """The latest `limit` runs of a DAG, newest first.

    Raises:
        UserError: Airflow is not configured, does not answer, denies the request, or has no such DAG.
    """
    answer = _request_runs(settings, dag_id, "list", params={"limit": limit, "order_by": "-run_after"})
    try:
        return [_parse_run(run) for run in answer["dag_runs"]]
    except (KeyError, TypeError, ValueError):
        raise _not_airflow(settings) from None


def trigger_run(settings: AirflowSettings, dag_id: str, conf: Mapping[str, Any], note: str = "") -> str:
    """Start a run now, with a note that Airflow shows beside it. Returns the id of the run.

    Raises:
        UserError: as `list_last_runs`; after a timeout, the run may have been started nevertheless.
    """
    body = {"logical_date": None, "conf": dict(conf), "note": note or None}
    answer = _request_runs(settings, dag_id, "start", json=body)
    try:
        return str(answer["dag_run_id"])
    except (KeyError, TypeError):
        raise _not_airflow(settings) from None


def _parse_run(run: Mapping[str, Any]) -> DagRun:
    return DagRun(
        str(run["dag_run_id"]),
        str(run["state"]),
        str(run["run_type"]),
        _parse_instant(run["start_date"]),
        _parse_instant(run["end_date"]),
        run["conf"] or {},
    )


def _parse_instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _make_auth(token: str = "") -> Auth:
    """Send `token`, if any. Either way, requests does not look for a login in `~/.netrc`."""

    def authorize(request: requests.PreparedRequest) -> requests.PreparedRequest:
        if token:
            request.headers["Authorization"] = f"Bearer {token}"
        return request

    return authorize


def _request_runs(settings: AirflowSettings, dag_id: str, verb: str, **request: Any) -> Any:
    """The JSON answer to a request for a DAG's runs. A cached token that Airflow rejects is renewed once."""
    if not settings.url:
        raise UserError(
            "The address of Airflow is not set: set INSIGHTS_AIRFLOW_URL, INSIGHTS_AIRFLOW_USERNAME and"
            " INSIGHTS_AIRFLOW_PASSWORD."
        )
    path = f"/api/v2/dags/{quote(dag_id, safe='')}/dagRuns"
    purpose = f"{verb} runs of {dag_id}"
    cached_token = _tokens.get(settings)
    response = _send(settings, path, _make_auth(cached_token or _log_in(settings)), purpose, **request)
    if cached_token and response.status_code in _UNAUTHORIZED:
        response = _send(settings, path, _make_auth(_log_in(settings)), purpose, **request)
    if response.status_code in _UNAUTHORIZED:
        raise UserError(
            f"Airflow at {settings.url} does not allow {settings.username!r} to {purpose}: grant it a role that does."
        )
    answer = _read_json(settings, response)
    if response.status_code == 404:
        raise UserError(
            f"Airflow at {settings.url} has no DAG {dag_id}: wait until Airflow has parsed it, or check its import"
            " errors."
        )
    if not response.ok:
        raise UserError(f"Airflow at {settings.url} did not {purpose}: {_describe_failure(response, answer)}.")
    return answer


def _log_in(settings: AirflowSettings) -> str:
    """Get a new token and cache it."""
    body = {"username": settings.username, "password": settings.password.get_secret_value()}
    response = _send(settings, "/auth/token", _make_auth(), "log in", json=body)
    if response.status_code in (400, *_UNAUTHORIZED):
        raise UserError(
            f"Airflow at {settings.url} refused the login of {settings.username!r}: check INSIGHTS_AIRFLOW_USERNAME and"
            " INSIGHTS_AIRFLOW_PASSWORD."
        )
    answer = _read_json(settings, response)
    if not response.ok:
        raise UserError(f"Airflow at {settings.url} did not issue a token: {_describe_failure(response, answer)}.")
    try:
        token = str(answer["access_token"])
    except (KeyError, TypeError):
        raise _not_airflow(settings) from None
    _tokens[settings] = token
    return token


def _send(settings: AirflowSettings, path: str, auth: Auth, purpose: str, **request: Any) -> requests.Response:
    """Send a GET, or a POST if there is a body. Redirects are not followed: they would carry the credentials along."""
    try:
        return requests.request(
            "POST" if "json" in request else "GET",
            settings.url.rstrip("/") + path,
            auth=auth,
            timeout=settings.timeout_seconds,
            allow_redirects=False,
            **request,
        )
    except requests.Timeout:
        caveat = "; the run may have been started nevertheless" if purpose.startswith("start") else ""
        raise UserError(
            f"Airflow at {settings.url} did not answer the request to {purpose} within"
            f" {settings.timeout_seconds:g} s{caveat}: check that its API server runs, then list the runs again."
        ) from None
    except requests.RequestException as error:
        raise UserError(
            f"Airflow at {settings.url} does not answer ({type(error).__name__}): check that its API server runs, or"
            " set INSIGHTS_AIRFLOW_URL to its address."
        ) from None


def _read_json(settings: AirflowSettings, response: requests.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        if response.status_code >= 500:
            return {}
        raise _not_airflow(settings) from None


def _describe_failure(response: requests.Response, answer: Any) -> str:
    """The status and, if there is one, Airflow's error detail."""
    detail = answer.get("detail") if isinstance(answer, dict) else None
    suffix = f", {' '.join(str(detail).split())[:_MAX_DETAIL_CHARACTERS]}" if detail else ""
    return f"it answered {response.status_code}{suffix}"


def _not_airflow(settings: AirflowSettings) -> UserError:
    return UserError(
        f"The server at {settings.url} does not answer as the API of Airflow 3: set INSIGHTS_AIRFLOW_URL to the address"
        " of Airflow's API server."
    )
