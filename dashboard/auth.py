"""Who looks at the pages, whether they may, and who may act on the data."""

import hmac
import time
from ipaddress import ip_address

import streamlit as st
from streamlit.errors import StreamlitAuthError

from insights.errors import UserError
from insights.settings import DashboardSettings, load

PROXY_SECRET_HEADER = "X-Insights-Proxy-Secret"
ANONYMOUS = "anonymous"
LOOK_AGAIN_SECONDS = 60


def get_visitor() -> str | None:
    """Name of who looks at the page, `ANONYMOUS` where nobody logs in; None for one who may not see it."""
    try:
        return _admitted(load(DashboardSettings))
    except UserError:
        return None


def may_redrive() -> bool:
    """Whether the visitor is an operator. Asked again at the moment of acting, as a login ends."""
    name = get_visitor()
    return name is not None and _listed(name, load(DashboardSettings).operators)


def require_visitor() -> None:
    """End the page for one who may not see it; where visitors log in here, offer that.

    Raises:
        UserError: the visitor may not see the page; says why.
    """
    settings = load(DashboardSettings)
    if settings.auth == "oidc":
        if not _logged_in(settings):
            _offer_login()
            st.stop()
        _offer_logout()
        _end_with_the_login()
    _admitted(settings)


def _admitted(settings: DashboardSettings) -> str:
    match settings.auth:
        case "none":
            return _anonymous(settings)
        case "oidc":
            name = _name_of_login(settings)
        case "proxy":
            name = _named_by_proxy(settings)
    if not _listed(name, settings.viewers):
        raise UserError(f"{name} may not see this page: ask who runs it to name you in INSIGHTS_DASHBOARD_VIEWERS.")
    return name


def _anonymous(settings: DashboardSettings) -> str:
    if settings.allow_anonymous or _is_loopback(st.get_option("server.address")):
        return ANONYMOUS
    raise UserError(
        "These pages have no login and are served beyond this machine: set INSIGHTS_DASHBOARD_AUTH to oidc or proxy, "
        "INSIGHTS_DASHBOARD_ALLOW_ANONYMOUS to true to show them to everyone, or server.address to 127.0.0.1."
    )


def _is_loopback(address: str | None) -> bool:
    """Of the address that is listened on; None is every one."""
    try:
        return address == "localhost" or ip_address(address or "").is_loopback
    except ValueError:
        return False


def _named_by_proxy(settings: DashboardSettings) -> str:
    """A header that came twice was added to what the visitor sent, not put in its place."""
    secrets = st.context.headers.get_all(PROXY_SECRET_HEADER)
    expected = settings.proxy_secret.get_secret_value()
    if len(secrets) != 1 or not hmac.compare_digest(secrets[0].encode(), expected.encode()):
        raise UserError("This page is shown by a proxy that logs visitors in, and this request did not come from it.")
    names = [name.strip() for name in st.context.headers.get_all(settings.proxy_user_header)]
    if len(names) != 1 or not names[0]:
        raise UserError(
            f"The proxy sent {len([name for name in names if name])} names in {settings.proxy_user_header}: "
            "let it send one, that of the visitor who is logged in."
        )
    return names[0]


def _name_of_login(settings: DashboardSettings) -> str:
    if not _logged_in(settings):
        raise UserError("Nobody is logged in: log in on the page.")
    email = st.user.get("email")
    if not isinstance(email, str) or st.user.get("email_verified") not in (None, True, "true"):
        raise UserError("The login has no e-mail that its provider has verified: verify it there and log in again.")
    return email


def _logged_in(settings: DashboardSettings) -> bool:
    """Streamlit checks the login when it begins, and leaves its end to the page."""
    issued = st.user.get("iat")
    if st.user.get("is_logged_in") is not True or not isinstance(issued, int):
        return False
    return time.time() < issued + settings.session_hours * 3600


def _offer_login() -> None:
    st.write("Log in to see this page.")
    if st.button("Log in", icon=":material/login:", type="primary"):
        try:
            st.login()
        except StreamlitAuthError:
            raise UserError(
                "The login has no provider: put redirect_uri, cookie_secret, client_id, client_secret and "
                "server_metadata_url under [auth] in the dashboard's secrets.toml."
            ) from None


def _offer_logout() -> None:
    with st.sidebar:
        st.text(str(st.user.get("email") or "Logged in"))
        st.button("Log out", icon=":material/logout:", on_click=st.logout)


@st.fragment(run_every=LOOK_AGAIN_SECONDS)
def _end_with_the_login() -> None:
    """Also a page that nobody touches ends with its login."""
    if not _logged_in(load(DashboardSettings)):
        st.rerun()


def _listed(name: str, entries: str) -> bool:
    """Whether a list of names, e-mails, `@domain` and `*` has one. Letters beyond ASCII look like others: `*` only."""
    listed = {entry.strip().lower() for entry in entries.split(",")} - {""}
    domain = "@" + name.rpartition("@")[2] if "@" in name else name
    return "*" in listed or (name.isascii() and not listed.isdisjoint({name.lower(), domain.lower()}))
