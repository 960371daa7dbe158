"""Batches of rows that are already encoded, sent by the driver.

The driver's `BatchStatement` encodes value by value. Here a protocol handler copies the encoded rows into the frame, so
that connections, routing, re-preparing and timeouts remain the driver's.
"""

from typing import Any, NamedTuple

from cassandra.protocol import BatchMessage, ProtocolHandler, int32_pack, uint8_pack, uint16_pack
from cassandra.query import BatchStatement, BatchType

PREPARED = 1


class RowBlock(NamedTuple):
    """Consecutive encoded rows: each is the result of `encode_statement_prefix` followed by its values."""

    rows: int
    body: memoryview


class BlockProtocol(ProtocolHandler):  # type: ignore[misc]
    """Encodes batches whose statements are a `RowBlock` (protocol version 5, no default timestamp)."""

    @classmethod
    def encode_message(cls, msg: Any, *args: Any, **kwargs: Any) -> bytes:
        if isinstance(msg, BatchMessage) and isinstance(msg.queries, RowBlock):
            block = _BlockMessage.__new__(_BlockMessage)
            block.__dict__.update(msg.__dict__)
            msg = block
        return bytes(super().encode_message(msg, *args, **kwargs))


class _BlockMessage(BatchMessage):  # type: ignore[misc]
    def send_body(self, f: Any, _: int) -> None:
        f.write(uint8_pack(self.batch_type.value) + uint16_pack(self.queries.rows))
        f.write(self.queries.body)
        f.write(uint16_pack(self.consistency_level) + int32_pack(0))


def encode_statement_prefix(query_id: bytes, values: int) -> bytes:
    """The bytes before each row's values: the id of the prepared statement and the number of values."""
    return bytes(uint8_pack(PREPARED) + uint16_pack(len(query_id)) + query_id + uint16_pack(values))


def make_unlogged_batch(block: RowBlock, keyspace: str, routing_key: bytes | None) -> Any:
    """An unlogged batch that the driver routes by `routing_key`; to any node without one."""
    batch = BatchStatement(batch_type=BatchType.UNLOGGED)
    batch._statements_and_parameters = block
    batch.keyspace = keyspace
    batch.routing_key = routing_key
    batch.is_idempotent = True
    return batch
