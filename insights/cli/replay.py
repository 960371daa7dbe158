"""`insights replay`: publish staged records again."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from insights.cli.app import app, console, load_stores
from insights.repair.replay import ReplayPeriod, count_by_day
from insights.repair.replay import replay as replay_period


@app.command()
def replay(
    since: Annotated[datetime, typer.Option("--from", help="First instant of fetching, UTC.")],
    until: Annotated[datetime, typer.Option("--to", help="First instant not to replay, UTC.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count, by day.")] = False,
) -> None:
    """Publish the records fetched in a period again, from staging, as newer versions of themselves."""
    found, period = load_stores(), ReplayPeriod(since.replace(tzinfo=UTC), until.replace(tzinfo=UTC))
    if dry_run:
        days = count_by_day(found.postgres, period)
        for day, count in days.items():
            console.print(f"{day}  {count:,}")
        console.print(f"{sum(days.values()):,} records would be published again.")
        return
    sent = replay_period(found.postgres, found.kafka, period)
    console.print(f"{sent:,} records are published again; `insights check --wait 60` shows when they have landed.")
