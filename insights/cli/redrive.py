"""`insights redrive`: publish quarantined records again."""

from collections.abc import Iterable
from typing import Annotated

import typer

from insights.cli.app import app, console, load_stores
from insights.clients import connections
from insights.clients.kafka_produce import republish
from insights.model.message import RawMessage
from insights.model.reasons import Reason
from insights.repair.merge_patch import parse_patch
from insights.repair.redrive import redrive as redrive_records
from insights.repair.redrive_selection import RedriveSelection
from insights.text import format_count


@app.command()
def redrive(
    reason: Annotated[Reason | None, typer.Option(help="Only records rejected for this reason.")] = None,
    ids: Annotated[
        list[str] | None, typer.Option("--id", help="Only the record with this event id or origin; may be repeated.")
    ] = None,
    patch: Annotated[str, typer.Option(help="JSON merge patch to apply to every record.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of records.")] = 10_000,
    force: Annotated[bool, typer.Option("--force", help="Include records that were re-driven too many times.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count the records.")] = False,
) -> None:
    """Publish open quarantine records again, patched or unchanged."""
    selection, merge_patch = RedriveSelection(reason, ids or (), limit), parse_patch(patch)
    stores = load_stores()

    def publish(messages: Iterable[RawMessage]) -> int:
        producer = connections.make_kafka_producer(stores.kafka, "redrive")
        return republish(producer, stores.kafka.raw_topic, messages)

    outcome = redrive_records(
        stores.postgres, selection, merge_patch, publish=None if dry_run else publish, force=force
    )
    for origin, cause in outcome.skipped.items():
        console.print(f"{origin}: {cause}.", markup=False)
    if dry_run:
        console.print(f"{format_count(outcome.published, 'record')} would be published again.")
    else:
        published = format_count(outcome.published, "record was", "records were")
        skipped = format_count(len(outcome.skipped), "was", "were")
        console.print(f"{published} published again, {skipped} not.")
    if outcome.left_out:
        console.print(
            f"{format_count(outcome.left_out, 'open record')} beyond --limit {limit:,}: run it again for them."
        )
