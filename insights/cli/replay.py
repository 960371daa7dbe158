"""`insights replay`: publish staged records again."""

from datetime import datetime
from typing import Annotated

import typer

from insights.cli.app import app, console, load_stores
from insights.cli.instants import parse_instant
from insights.repair.replay import ReplayPeriod, plan_replay
from insights.repair.replay import replay as replay_period
from insights.text import format_count


@app.command()
def replay(
    since: Annotated[
        datetime,
        typer.Option(
            "--from", parser=parse_instant, metavar="TIME", help="Start of the fetch period, inclusive, in ISO 8601."
        ),
    ],
    until: Annotated[
        datetime,
        typer.Option(
            "--to", parser=parse_instant, metavar="TIME", help="End of the fetch period, exclusive, in ISO 8601."
        ),
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count the records, by day.")] = False,
) -> None:
    """Publish the staged records that were fetched in a period again, as new versions.

    A time without an offset is in UTC.
    """
    stores, period = load_stores(), ReplayPeriod(since, until)
    plan = plan_replay(stores.postgres, period)
    if dry_run:
        for day, count in plan.days.items():
            console.print(f"{day}  {count:,}")
        console.print(f"{format_count(sum(plan.days.values()), 'record')} would be published again.")
    else:
        published = replay_period(stores.postgres, stores.kafka, period)
        console.print(
            f"{format_count(published, 'record was', 'records were')} published again;"
            " `insights check --wait 60` shows whether every sink has them."
        )
    if plan.left_out:
        left_out = format_count(plan.left_out, "record is", "records are")
        console.print(f"{left_out} left out, because a newer or corrected record of the user is served.")
