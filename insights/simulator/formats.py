"""The formats of phone numbers, postcodes and identity numbers, by nationality and API version."""

from dataclasses import dataclass, replace
from typing import Any

VERSIONS = ("1.0", "1.1", "1.2", "1.3", "1.4")
LEGO = "LEGO"


@dataclass(frozen=True, slots=True)
class Format:
    """Masks of one nationality. `postcode` is a mask or a range of integers. Without `id_mask`, the id is null."""

    phone: str
    cell: str
    postcode: str | tuple[int, int] = (10000, 99999)
    id_name: str = ""
    id_mask: str | None = None
    country: str | None = None
    since: str = "1.0"


_PAIR = "(###)-###-####"

_LATEST = {
    "AU": Format("0#-####-####", "04##-###-###", (200, 9999), "TFN", "#########", "Australia"),
    "BR": Format("(##) ####-####", "(##) ####-####", id_name="CPF", id_mask="###.###.###-##", country="Brazil"),
    "CA": Format("?## ?##-####", "?## ?##-####", "?#? #?#", "SIN", "#########", "Canada"),
    "CH": Format(
        "075 ### ## ##|076 ### ## ##|077 ### ## ##|078 ### ## ##|079 ### ## ##",
        "075 ### ## ##|076 ### ## ##|077 ### ## ##|078 ### ## ##|079 ### ## ##",
        (1000, 9999),
        "AVS",
        "756.####.####.##",
        "Switzerland",
    ),
    "DE": Format("0###-#######", "017#-#######", id_name="SVNR", id_mask="## {ddmmyy} ? ###", country="Germany"),
    "DK": Format("########", "########", id_name="CPR", id_mask="{ddmmyy}-####", country="Denmark"),
    "ES": Format("9##-###-###", "6##-###-###", id_name="DNI", id_mask="########-?", country="Spain"),
    "FI": Format("0#-###-###", "04#-###-##-##", id_name="HETU", id_mask="NaNNA###undefined", country="Finland"),
    "FR": Format(
        "01-##-##-##-##|02-##-##-##-##|03-##-##-##-##|04-##-##-##-##|05-##-##-##-##",
        "06-##-##-##-##",
        id_name="INSEE",
        id_mask="{sex}{yy}{mm}######## ##",
        country="France",
    ),
    "GB": Format(
        "01### #####|01### ######|0176## #####|0152## #####|02# #### ####",
        "07### ######",
        "?# #??|??# #??|?## #??|??## #??|?#? #??|??#? #??",
        "NINO",
        "?? ## ## ## ?",
        "United Kingdom",
    ),
    "IE": Format("0#1-###-####", "081-###-####", id_name="PPS", id_mask="#######T", country="Ireland"),
    "IN": Format(
        "7#########|8#########|9#########",
        "7#########|8#########|9#########",
        id_name="UIDAI",
        id_mask="############",
        country="India",
        since="1.4",
    ),
    "IR": Format("0##-########", "09##-###-####", country="Iran"),
    "MX": Format(
        "(6##) ### ####", "(6##) ### ####", id_name="NSS", id_mask="## ## ## #### #", country="Mexico", since="1.4"
    ),
    "NL": Format(_PAIR, _PAIR, id_name="BSN", id_mask="########", country="Netherlands"),
    "NO": Format("########", "4#######|9#######", "####", "FN", "{ddmmyy}#####", "Norway", "1.2"),
    "NZ": Format(_PAIR, _PAIR, country="New Zealand"),
    "RS": Format("0##-####-###", "06#-####-###", id_name="SID", id_mask="#########", country="Serbia", since="1.4"),
    "TR": Format(_PAIR, _PAIR, country="Turkey"),
    "UA": Format(
        "(066) ?##-####|(067) ?##-####|(068) ?##-####|(096) ?##-####|(097) ?##-####|(098) ?##-####",
        "(066) ?##-####|(067) ?##-####|(068) ?##-####|(096) ?##-####|(097) ?##-####|(098) ?##-####",
        country="Ukraine",
        since="1.4",
    ),
    "US": Format("(###) ###-####", "(###) ###-####", id_name="SSN", id_mask="###-##-####", country="United States"),
    LEGO: Format(_PAIR, _PAIR, id_name="SN", id_mask="############"),
}

_NO_ID: dict[str, Any] = {"id_name": "", "id_mask": None}

_CHANGES_UNTIL: dict[str, dict[str, dict[str, Any]]] = {
    "1.3": {
        "BR": _NO_ID,
        "CA": {"phone": "###-###-####", "cell": "###-###-####", **_NO_ID},
        "DE": _NO_ID,
        "FR": {"id_mask": "{sex}NNaN######## ##"},
        "GB": {"cell": "07##-###-###"},
        "NL": {"phone": "(####) ######|(###) #######", "cell": "(06) ########", "postcode": "#### ??"},
        "US": {"phone": _PAIR, "cell": _PAIR},
        LEGO: {"id_name": "serial#"},
    },
    "1.2": {
        "CH": {"phone": _PAIR, "cell": _PAIR},
        "DK": {"id_mask": "######-####"},
        "NL": {"phone": _PAIR, "cell": _PAIR, "postcode": (10000, 99999)},
    },
    "1.1": {
        "CA": {"postcode": (10000, 99999)},
        "CH": {"id_mask": "756.????.????.##"},
        "FI": {"id_mask": "###-###?|####-###?|###-####"},
        "FR": {"id_mask": "{sex}########### ##"},
    },
    "1.0": {"FI": {"id_mask": "########-?"}},
}
"""Differences from the latest version, up to and including a version."""


def get_format(nationality: str, version: str) -> Format:
    """Return the nationality's format in that version of the API."""
    current = _LATEST[nationality]
    for last_version, changes in _CHANGES_UNTIL.items():
        if version <= last_version:
            current = replace(current, **changes.get(nationality, {}))
    return current


def list_nationalities(version: str) -> tuple[str, ...]:
    """Return the nationalities that the version uses if the request names none."""
    return tuple(code for code, latest in _LATEST.items() if code != LEGO and latest.since <= version)
