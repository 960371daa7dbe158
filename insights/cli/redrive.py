"""`insights redrive`: publish quarantined records again."""

import json
from typing import Annotated, Any

import typer

from insights.cli.app import app, console, load_stores
from insights.clients import connections
from insights.clients.kafka_produce import republish
from insights.errors import UserError
from insights.model.reasons import Reason
from insights.repair.redrive import RedriveSelection, prepare_redrive
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
    if reason is None and not ids:
        raise UserError("Nothing is selected: give --reason or --id.")
    stores = load_stores()
    prepared = prepare_redrive(
        stores.postgres, RedriveSelection(reason, ids or (), limit), parse_patch(patch), force=force
    )
    if dry_run:
        count = sum(1 for _ in prepared.messages)
        summary = f"{format_count(count, 'record')} would be published again."
    else:
        producer = connections.make_kafka_producer(stores.kafka, "redrive")
        count = republish(producer, stores.kafka.raw_topic, prepared.messages)
        published = format_count(count, "record was", "records were")
        summary = f"{published} published again, {format_count(len(prepared.skipped), 'was', 'were')} not."
    for origin, cause in prepared.skipped.items():
        console.print(f"{origin}: {cause}.", markup=False)
    console.print(summary)


def parse_patch(text: str) -> dict[str, Any] | None:
    """The merge patch in `text`; None if it is empty.

    Raises:
        UserError: `text` is not a JSON object.
    """
    if not text.strip():
        return None
    try:
        patch = json.loads(text)
    except ValueError as error:
        raise UserError(f'The patch {text!r} is not JSON ({error}): give an object like {{"nat": "DE"}}.') from None
    if not isinstance(patch, dict):
        raise UserError(f'The patch {text!r} is not a JSON object: give one like {{"nat": "DE"}}.')
    return patch
