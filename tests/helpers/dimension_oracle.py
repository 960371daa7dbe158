"""What a user counts for, computed without the stores: the oracle of every count."""

import json
from collections.abc import Mapping
from typing import Any

from insights.model.user import DIMENSIONS

SINGLE = [name for name, fields in DIMENSIONS.items() if len(fields) == 1]
CROSSED = [name for name, fields in DIMENSIONS.items() if len(fields) > 1]


def value(row: Mapping[str, Any], dimension: str) -> str:
    """The value that the row counts for in a dimension."""
    texts = [None if (cell := _cell(row, field)) is None else str(cell) for field in DIMENSIONS[dimension]]
    return str(texts[0]) if len(texts) == 1 else json.dumps(texts, ensure_ascii=False)


def _cell(row: Mapping[str, Any], field: str) -> Any:
    return row["registered_at"].isoweekday() if field == "registered_weekday" else row[field]
