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


@app.command()
def redrive(
    reason: Annotated[Reason | None, typer.Option(help="Only records refused for this.")] = None,
    ids: Annotated[list[str] | None, typer.Option("--id", help="Event id or origin; may be repeated.")] = None,
    patch: Annotated[str, typer.Option(help="A JSON merge patch that corrects every record.")] = "",
    limit: Annotated[int, typer.Option(min=1)] = 10_000,
    force: Annotated[bool, typer.Option("--force", help="Also what was re-driven often.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
) -> None:
    """Publish open quarantine records again, corrected or as they are."""
    if reason is None and not ids:
        raise UserError("Nothing is selected: give --reason or --id.")
    found = load_stores()
    prepared = prepare_redrive(
        found.postgres, RedriveSelection(reason, ids or (), limit), parse_patch(patch), force=force
    )
    if dry_run:
        count = sum(1 for _ in prepared.messages)
        told = f"{count:,} records would be published again."
    else:
        producer = connections.make_kafka_producer(found.kafka, "redrive")
        count = republish(producer, found.kafka.raw_topic, prepared.messages)
        told = f"{count:,} records are published again, {len(prepared.refused):,} are not."
    for origin, why in prepared.refused.items():
        console.print(f"{origin}: {why}.", markup=False)
    console.print(told)


def parse_patch(text: str) -> dict[str, Any] | None:
    """The merge patch in `text`, None when empty.

    Raises:
        UserError: it is not a JSON object.
    """
    if not text.strip():
        return None
    try:
        patch = json.loads(text)
    except ValueError as error:
        raise UserError(f'The patch {text!r} is not JSON ({error}); give an object like {{"nat": "DE"}}.') from None
    if not isinstance(patch, dict):
        raise UserError(f'The patch {text!r} is not an object; give one like {{"nat": "DE"}}.')
    return patch
