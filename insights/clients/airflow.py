"""Airflow's public API (v2): the last runs of a DAG, and the start of one."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import quote

import requests

from insights.errors import UserError
from insights.settings import AirflowSettings

Auth = Callable[[requests.PreparedRequest], requests.PreparedRequest]
_REFUSED = (401, 403)
_TOLD_CHARACTERS = 200
_tokens: dict[AirflowSettings, str] = {}
"""The token of each login, until Airflow refuses it."""


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
    """What it was started with."""


def list_last_runs(settings: AirflowSettings, dag_id: str, limit: int) -> list[DagRun]:
    """The newest runs, newest first.

    Raises:
        UserError: Airflow is not known, does not answer, refuses, or has no such DAG.
    """
    answer = _ask(settings, dag_id, "list", params={"limit": limit, "order_by": "-run_after"})
    try:
        return [_run(run) for run in answer["dag_runs"]]
    except (KeyError, TypeError, ValueError):
        raise _no_airflow(settings) from None


def trigger_run(settings: AirflowSettings, dag_id: str, conf: Mapping[str, Any], note: str = "") -> str:
    """Start a run now, with a note that Airflow shows beside it; returns its id.

    Raises:
        UserError: as `list_last_runs`; when the answer is late, the run may have been started.
    """
    answer = _ask(settings, dag_id, "start", json={"logical_date": None, "conf": dict(conf), "note": note or None})
    try:
        return str(answer["dag_run_id"])
    except (KeyError, TypeError):
        raise _no_airflow(settings) from None


def _run(run: Mapping[str, Any]) -> DagRun:
    return DagRun(
        str(run["dag_run_id"]),
        str(run["state"]),
        str(run["run_type"]),
        _instant(run["start_date"]),
        _instant(run["end_date"]),
        run["conf"] or {},
    )


def _instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _bearer(token: str = "") -> Auth:
    """A token, or none; either keeps requests from looking for a login in `~/.netrc`."""

    def authorize(request: requests.PreparedRequest) -> requests.PreparedRequest:
        if token:
            request.headers["Authorization"] = f"Bearer {token}"
        return request

    return authorize


def _ask(settings: AirflowSettings, dag_id: str, verb: str, **request: Any) -> Any:
    """The JSON answer about a DAG's runs. A token that was kept and is refused is renewed once."""
    if not settings.url:
        raise UserError("Airflow is not known here: set INSIGHTS_AIRFLOW_URL, _USERNAME and _PASSWORD.")
    path = f"/api/v2/dags/{quote(dag_id, safe='')}/dagRuns"
    kept = _tokens.get(settings)
    response = _send(settings, path, _bearer(kept or _login(settings)), f"{verb} runs of {dag_id}", **request)
    if kept and response.status_code in _REFUSED:
        response = _send(settings, path, _bearer(_login(settings)), f"{verb} runs of {dag_id}", **request)
    if response.status_code in _REFUSED:
        raise UserError(
            f"Airflow at {settings.url} does not let {settings.username!r} {verb} runs of {dag_id}: give it a role that"
            " may."
        )
    answer = _json(settings, response)
    if response.status_code == 404:
        raise UserError(
            f"Airflow at {settings.url} has no DAG {dag_id}: it appears when it is parsed; if not, see its errors."
        )
    if not response.ok:
        raise UserError(f"Airflow at {settings.url} did not {verb} runs of {dag_id}: {_told(response, answer)}.")
    return answer


def _login(settings: AirflowSettings) -> str:
    body = {"username": settings.username, "password": settings.password.get_secret_value()}
    response = _send(settings, "/auth/token", _bearer(), "log in", json=body)
    if response.status_code in (400, *_REFUSED):
        raise UserError(
            f"Airflow at {settings.url} did not let {settings.username!r} in: check INSIGHTS_AIRFLOW_USERNAME and"
            " INSIGHTS_AIRFLOW_PASSWORD."
        )
    answer = _json(settings, response)
    if not response.ok:
        raise UserError(f"Airflow at {settings.url} did not give a token: {_told(response, answer)}.")
    try:
        token = str(answer["access_token"])
    except (KeyError, TypeError):
        raise _no_airflow(settings) from None
    _tokens[settings] = token
    return token


def _send(settings: AirflowSettings, path: str, auth: Auth, purpose: str, **request: Any) -> requests.Response:
    """GET, or POST when there is a body; a redirect is not followed, as a login would go with it."""
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
        doubt = "; the run may have been started all the same" if purpose.startswith("start") else ""
        raise UserError(
            f"Airflow at {settings.url} did not answer in {settings.timeout_seconds:g} s when asked to {purpose}"
            f"{doubt}: see that its API server runs, then look again."
        ) from None
    except requests.RequestException as error:
        raise UserError(
            f"Airflow at {settings.url} does not answer ({type(error).__name__}): see that its API server runs, or set"
            " INSIGHTS_AIRFLOW_URL to its address."
        ) from None


def _json(settings: AirflowSettings, response: requests.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        if response.status_code >= 500:
            return {}
        raise _no_airflow(settings) from None


def _told(response: requests.Response, answer: Any) -> str:
    """The status, and what Airflow says of it."""
    detail = answer.get("detail") if isinstance(answer, dict) else None
    said = f", {' '.join(str(detail).split())[:_TOLD_CHARACTERS]}" if detail else ""
    return f"it answered {response.status_code}{said}"


def _no_airflow(settings: AirflowSettings) -> UserError:
    return UserError(
        f"What answers at {settings.url} is not the API of an Airflow 3: set INSIGHTS_AIRFLOW_URL to its API server."
    )
