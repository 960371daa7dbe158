"""One user in full, as a list of terms that is read as text."""

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
        "username": "User name",
    },
    "Contact": {
        "email": "E-mail",
        "email_domain": "E-mail domain",
        "phone": "Telephone",
        "phone_valid": "Telephone is a number of the country",
        "cell": "Mobile",
        "cell_valid": "Mobile is a number of the country",
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
        "distance_km": "Distance to the country's centre (km)",
        "location_plausible": "Within the country's reach",
        "timezone": "Time zone",
        "utc_offset_minutes": "Offset from UTC (minutes)",
    },
    "Registration": {
        "registered_at": "Registered",
        "registered_year": "Year",
        "registered_month": "Month",
        "tenure_days": "Days until fetched",
    },
    "Provenance": {
        "user_id": "User id",
        "event_id": "Event id",
        "batch_id": "Page it came with",
        "event_time": "Fetched",
        "version": "Version (microseconds)",
    },
}
"""Every field of `record.User`, under the words for it."""

_SECTIONS = "columns:15rem;column-gap:2rem"
_SECTION = "break-inside:avoid"
_TITLE = "margin:0;padding:0 0 .5rem"
_TERMS = "display:grid;grid-template-columns:2fr 3fr;gap:.25rem .75rem;margin:0 0 1rem;padding:0"
_TERM = "margin:0;padding:0;font-size:.875rem;opacity:.75"
_VALUE = "margin:0;padding:0;font-size:.875rem;overflow-wrap:anywhere"


def render_user_card(user: Mapping[str, Any]) -> str:
    """The user as HTML in which every text of theirs is escaped, and runs in its own direction."""
    sections = "".join(
        f'<section style="{_SECTION}"><h4 style="{_TITLE}">{title}</h4><dl style="{_TERMS}">'
        + "".join(
            f'<dt style="{_TERM}">{word}</dt><dd style="{_VALUE}"><bdi>{escape(_text(user.get(field)))}</bdi></dd>'
            for field, word in fields.items()
        )
        + "</dl></section>"
        for title, fields in GROUPS.items()
    )
    return f'<div style="{_SECTIONS}">{sections}</div>'


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return format_instant(value)
    return str(value)
