"""`insights replay`: publish staged records again."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from insights.cli.app import app, console, load_stores
from insights.repair.replay import ReplayPeriod, count_by_day
from insights.repair.replay import replay as replay_period
from insights.text import format_count


@app.command()
def replay(
    since: Annotated[datetime, typer.Option("--from", help="Start of the fetch period, UTC, inclusive.")],
    until: Annotated[datetime, typer.Option("--to", help="End of the fetch period, UTC, exclusive.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count the records, by day.")] = False,
) -> None:
    """Publish the staged records that were fetched in a period again, as new versions."""
    stores, period = load_stores(), ReplayPeriod(since.replace(tzinfo=UTC), until.replace(tzinfo=UTC))
    if dry_run:
        days = count_by_day(stores.postgres, period)
        for day, count in days.items():
            console.print(f"{day}  {count:,}")
        console.print(f"{format_count(sum(days.values()), 'record', 'records')} would be published again.")
        return
    published = replay_period(stores.postgres, stores.kafka, period)
    console.print(
        f"{format_count(published, 'record was', 'records were')} published again;"
        " `insights check --wait 60` shows whether every sink has them."
    )
