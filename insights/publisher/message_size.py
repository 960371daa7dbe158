"""The uncompressed size of a message on the wire, which the broker compares with `max.message.bytes`.

Computed for a record batch (magic 2) that holds a single record.
"""

from insights.model.message import RawMessage

_BATCH_OVERHEAD_BYTES = 61
_KEY_BYTES = 36
_MAX_OVERHEAD_BYTES = 1024
"""Upper bound for everything but the value and the batch id."""


def fits_topic(message: RawMessage, limit: int) -> bool:
    """Whether a topic with a `max.message.bytes` of `limit` accepts the message."""
    return (
        len(message.value) + 4 * len(message.batch_id) + _MAX_OVERHEAD_BYTES <= limit
        or compute_wire_size(message) <= limit
    )


def compute_wire_size(message: RawMessage) -> int:
    """The size in bytes of a record batch that holds this message alone."""
    body = 1 + 1 + 1  # attributes, timestamp delta 0, offset delta 0
    body += _varint_size(_KEY_BYTES) + _KEY_BYTES + _varint_size(len(message.value)) + len(message.value)
    headers = message.headers()
    body += _varint_size(len(headers))
    for name, value in headers:
        body += _varint_size(len(name.encode())) + len(name.encode()) + _varint_size(len(value)) + len(value)
    return _BATCH_OVERHEAD_BYTES + _varint_size(body) + body


def _varint_size(length: int) -> int:
    """The size in bytes of a zigzag-encoded variable-length integer."""
    return max(1, ((2 * length).bit_length() + 6) // 7)
