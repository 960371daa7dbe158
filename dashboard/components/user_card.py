"""The card of one user: every field, as a description list of plain text."""

from collections.abc import Mapping
from datetime import datetime
from html import escape
from typing import Any

from dashboard.components.formatting import format_instant

GROUPS = {
    "Person": {
        "full_name": "Name",
        "title": "Title",
        "first_name": "First name",
        "last_name": "Last name",
        "gender": "Gender",
        "born_at": "Born",
        "age": "Age when fetched",
        "age_band": "Age band",
        "generation": "Generation",
        "username": "Username",
    },
    "Contact": {
        "email": "E-mail",
        "email_domain": "E-mail domain",
        "phone": "Telephone",
        "phone_valid": "Telephone valid in the country",
        "cell": "Mobile",
        "cell_valid": "Mobile valid in the country",
        "picture_url": "Picture (not loaded)",
    },
    "Place": {
        "address": "Address",
        "continent": "Continent",
        "sub_region": "Sub-region",
        "country": "Country",
        "country_code": "Country code",
        "state": "State",
        "postcode": "Postcode",
        "city": "City",
        "street": "Street",
        "latitude": "Latitude (degrees)",
        "longitude": "Longitude (degrees)",
        "distance_km": "Distance from the country's centre (km)",
        "location_plausible": "Plausible for the country",
        "timezone": "Time zone",
        "utc_offset_minutes": "Offset from UTC (minutes)",
    },
    "Registration": {
        "registered_at": "Registered",
        "registered_year": "Year",
        "registered_month": "Month",
        "tenure_days": "Days from registration to fetch",
    },
    "Provenance": {
        "user_id": "User ID",
        "event_id": "Event ID",
        "batch_id": "Source page",
        "event_time": "Fetched",
        "version": "Version (microseconds)",
    },
}
"""Every field of `insights.model.user.User`, with its label."""

_SECTIONS = "columns:15rem;column-gap:2rem"
_SECTION = "break-inside:avoid"
_TITLE = "margin:0;padding:0 0 .5rem"
_TERMS = "display:grid;grid-template-columns:2fr 3fr;gap:.25rem .75rem;margin:0 0 1rem;padding:0"
_TERM = "margin:0;padding:0;font-size:.875rem;opacity:.75"
_VALUE = "margin:0;padding:0;font-size:.875rem;overflow-wrap:anywhere"


def render_user_card(user: Mapping[str, Any]) -> str:
    """Render the user as HTML in which every value is escaped and keeps its own text direction."""
    sections = "".join(
        f'<section style="{_SECTION}"><h4 style="{_TITLE}">{title}</h4><dl style="{_TERMS}">'
        + "".join(
            f'<dt style="{_TERM}">{label}</dt><dd style="{_VALUE}"><bdi>{escape(_format(user.get(field)))}</bdi></dd>'
            for field, label in fields.items()
        )
        + "</dl></section>"
        for title, fields in GROUPS.items()
    )
    return f'<div style="{_SECTIONS}">{sections}</div>'


def _format(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return format_instant(value)
    return str(value)
