"""The faults of an API, and the rates at which they occur."""

import json
import threading
from collections.abc import Mapping
from enum import StrEnum
from random import Random
from typing import Any

from insights.errors import UserError


class Fault(StrEnum):
    """A fault, by the name that requests and `--fault-rate` use."""

    RATE_LIMITED = "429"
    RATE_LIMITED_DATE = "429-date"
    RATE_LIMITED_BARE = "429-bare"
    INTERNAL = "500"
    UNAVAILABLE = "503"
    EMPTY = "empty"
    SHORT = "short"
    TRUNCATED = "truncated"
    LENGTH = "length"
    DRIP = "drip"
    HTML = "html"
    ERROR = "error"
    DRIFT = "drift"
    BOMB = "bomb"


class FaultRates:
    """Draws faults at given rates. The same seed gives the same sequence.

    Raises:
        UserError: a rate is negative or not a number, or the rates add up to more than 1.
    """

    def __init__(self, rates: Mapping[Fault, float], seed: int = 0) -> None:
        if not (all(rate >= 0 for rate in rates.values()) and sum(rates.values()) <= 1):
            raise UserError(f"The fault rates {dict(rates)} must not be negative or add up to more than 1.")
        self._rates = dict(rates)
        self._random = Random(seed)
        self._lock = threading.Lock()

    def __call__(self) -> Fault | None:
        with self._lock:
            remaining = self._random.random()
        for fault, rate in self._rates.items():
            remaining -= rate
            if remaining < 0:
                return fault
        return None


def parse_fault(text: str) -> Fault:
    """Return the fault of that name.

    Raises:
        UserError: the fault does not exist.
    """
    try:
        return Fault(text)
    except ValueError:
        raise UserError(f"The fault {text!r} does not exist: use one of {', '.join(Fault)}.") from None


def parse_rates(text: str) -> dict[Fault, float]:
    """Parse rates such as `429=0.1,503=0.05`.

    Raises:
        UserError: a part is not `<fault>=<number>`.
    """
    rates = {}
    for part in filter(None, text.split(",")):
        name, _, rate = part.partition("=")
        try:
            rates[parse_fault(name.strip())] = float(rate)
        except ValueError:
            raise UserError(f"The fault rate {part!r} is invalid: use a name and a number, as in 429=0.1.") from None
    return rates


def drift_record(position: int, row: bytes) -> bytes:
    """Change every tenth record as another version of the API might, in one of four ways."""
    if position % 10:
        return row
    record: dict[str, Any] = json.loads(row)
    change = position // 10 % 4
    if change == 0 and "login" in record:
        record["account"] = record.pop("login")
    elif change == 1:
        record["contact"] = {name: record.pop(name, None) for name in ("email", "phone")}
    elif change == 2:
        record["dob"] = [record.get("dob")]
        record["nat"] = {"code": record.get("nat")}
    else:
        record["location"] = json.dumps(record.get("location"))
        record["gender"] = 1
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()
