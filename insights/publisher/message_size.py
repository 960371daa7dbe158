"""The bytes that a message needs on the wire, before compression: what `max.message.bytes` is compared with.

Kafka protocol, record batch format of magic 2: a batch that holds one record.
"""

from insights.model.message import RawMessage

_BATCH_OVERHEAD = 61
_KEY = 36
_AMPLE = 1024
"""More than everything but the value and the batch id ever needs."""


def fits_topic(message: RawMessage, limit: int) -> bool:
    """Whether a topic whose `max.message.bytes` is `limit` takes the message."""
    return len(message.value) + 4 * len(message.batch_id) + _AMPLE <= limit or compute_wire_size(message) <= limit


def compute_wire_size(message: RawMessage) -> int:
    """Bytes of a record batch with this message alone."""
    body = 1 + 1 + 1  # attributes, timestamp delta 0, offset delta 0
    body += _varint(_KEY) + _KEY + _varint(len(message.value)) + len(message.value)
    headers = message.headers()
    body += _varint(len(headers))
    for name, value in headers:
        body += _varint(len(name.encode())) + len(name.encode()) + _varint(len(value)) + len(value)
    return _BATCH_OVERHEAD + _varint(body) + body


def _varint(length: int) -> int:
    """Bytes of a zigzag variable-length integer."""
    return max(1, ((2 * length).bit_length() + 6) // 7)
