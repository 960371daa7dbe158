"""Who the visitor is, whether they may view the pages, and whether they may act on the data."""

import hmac
import time
from ipaddress import ip_address

import streamlit as st
from streamlit.errors import StreamlitAuthError

from insights.errors import UserError
from insights.model.codes import lower_ascii
from insights.settings import DashboardSettings, load

PROXY_SECRET_HEADER = "X-Insights-Proxy-Secret"
ANONYMOUS = "anonymous"
LOGIN_CHECK_SECONDS = 60


def get_visitor() -> str | None:
    """Return the visitor's name, `ANONYMOUS` if the dashboard has no login; None if they may not view the page."""
    try:
        return _authorize(load(DashboardSettings))
    except UserError:
        return None


def may_redrive() -> bool:
    """Whether the visitor is an operator. Call it again when an action is performed: a login expires."""
    name = get_visitor()
    return name is not None and _is_listed(name, load(DashboardSettings).operators)


def require_visitor() -> None:
    """Stop the page for a visitor who may not view it; offer the login if the dashboard has its own.

    Raises:
        UserError: the visitor may not view the page; the message says why.
    """
    settings = load(DashboardSettings)
    if settings.auth == "oidc":
        if not _is_logged_in(settings):
            _draw_login()
            st.stop()
        _draw_logout()
        _watch_login()
    _authorize(settings)


def _authorize(settings: DashboardSettings) -> str:
    match settings.auth:
        case "none":
            return _authorize_anonymous(settings)
        case "oidc":
            name = _read_login_email(settings)
        case "proxy":
            name = _read_proxy_user(settings)
    if not _is_listed(name, settings.viewers):
        raise UserError(
            f"{name} may not view this page: ask whoever runs the dashboard to add you to INSIGHTS_DASHBOARD_VIEWERS."
        )
    return name


def _authorize_anonymous(settings: DashboardSettings) -> str:
    if settings.allow_anonymous or _is_loopback(st.get_option("server.address")):
        return ANONYMOUS
    raise UserError(
        "The dashboard has no login and listens beyond this machine: set INSIGHTS_DASHBOARD_AUTH to oidc or proxy, "
        "INSIGHTS_DASHBOARD_ALLOW_ANONYMOUS to true to show the pages to everyone, or server.address to 127.0.0.1."
    )


def _is_loopback(address: str | None) -> bool:
    """Whether the listen address is loopback; None means all addresses."""
    try:
        return address == "localhost" or ip_address(address or "").is_loopback
    except ValueError:
        return False


def _read_proxy_user(settings: DashboardSettings) -> str:
    """Return the name that the proxy sent.

    Rejects a header that occurs twice: the proxy then added its own to the visitor's instead of replacing it.
    """
    secrets = st.context.headers.get_all(PROXY_SECRET_HEADER)
    expected = settings.proxy_secret.get_secret_value()
    if len(secrets) != 1 or not hmac.compare_digest(secrets[0].encode(), expected.encode()):
        raise UserError("Visitors of this dashboard log in through a proxy, and this request did not come from it.")
    names = [name.strip() for name in st.context.headers.get_all(settings.proxy_user_header)]
    if len(names) != 1 or not names[0]:
        raise UserError(
            f"The proxy sent {len([name for name in names if name])} names in {settings.proxy_user_header}: "
            "configure it to send exactly one, that of the visitor who is logged in."
        )
    return names[0]


def _read_login_email(settings: DashboardSettings) -> str:
    if not _is_logged_in(settings):
        raise UserError("Nobody is logged in: log in on the page.")
    email = st.user.get("email")
    if not isinstance(email, str) or st.user.get("email_verified") not in (None, True, "true"):
        raise UserError(
            "The login has no e-mail address that its provider has verified: verify it there and log in again."
        )
    return email


def _is_logged_in(settings: DashboardSettings) -> bool:
    """Whether there is a login that has not expired. Streamlit verifies a login only when it begins."""
    issued = st.user.get("iat")
    if st.user.get("is_logged_in") is not True or not isinstance(issued, int):
        return False
    return time.time() < issued + settings.session_hours * 3600


def _draw_login() -> None:
    st.write("Log in to view this page.")
    if st.button("Log in", icon=":material/login:", type="primary"):
        try:
            st.login()
        except StreamlitAuthError:
            raise UserError(
                "No login provider is configured: set redirect_uri, cookie_secret, client_id, client_secret and "
                "server_metadata_url under [auth] in the dashboard's secrets.toml."
            ) from None


def _draw_logout() -> None:
    with st.sidebar:
        st.text(str(st.user.get("email") or "Logged in"))
        st.button("Log out", icon=":material/logout:", on_click=st.logout)


@st.fragment(run_every=LOGIN_CHECK_SECONDS)
def _watch_login() -> None:
    """Close an open page when its login expires, even if nobody uses it."""
    if not _is_logged_in(load(DashboardSettings)):
        st.rerun()


def _is_listed(name: str, entries: str) -> bool:
    """Whether a list of names, e-mail addresses, `@domain` and `*` includes the name.

    Only `*` matches a name with characters beyond ASCII, since they can look like other characters.
    """
    listed = {lower_ascii(entry.strip()) for entry in entries.split(",")} - {""}
    domain = "@" + name.rpartition("@")[2] if "@" in name else name
    return "*" in listed or (name.isascii() and not listed.isdisjoint({lower_ascii(name), lower_ascii(domain)}))
