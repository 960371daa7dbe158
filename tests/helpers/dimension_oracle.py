"""The values for which a user is counted, computed without the stores, as an oracle for the counts."""

import json
from collections.abc import Mapping
from typing import Any

from insights.model.user import DIMENSIONS

SINGLE = [name for name, fields in DIMENSIONS.items() if len(fields) == 1]
CROSSED = [name for name, fields in DIMENSIONS.items() if len(fields) > 1]


def value(row: Mapping[str, Any], dimension: str) -> str:
    """Return the value for which the row is counted in a dimension."""
    texts = [None if (content := _get_field(row, field)) is None else str(content) for field in DIMENSIONS[dimension]]
    return str(texts[0]) if len(texts) == 1 else json.dumps(texts, ensure_ascii=False)


def _get_field(row: Mapping[str, Any], field: str) -> Any:
    return row["registered_at"].isoweekday() if field == "registered_weekday" else row[field]
