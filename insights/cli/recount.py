"""`insights recount`: correct the counts of users."""

from typing import TYPE_CHECKING, Annotated

import typer

from insights.cli.app import app, console, load_stores
from insights.errors import UserError
from insights.settings import StreamSettings, load
from insights.text import format_count

if TYPE_CHECKING:
    from insights.repair.recount import CountComparison


@app.command()
def recount(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show the wrong counts.")] = False,
) -> None:
    """Recount the users and correct the counts in PostgreSQL and Cassandra. The stream may keep running."""
    try:
        from insights.repair import recount as counts
    except ModuleNotFoundError as error:
        raise UserError(f"`insights recount` needs {error.name}: run it in a container of the stream.") from None
    stores = load_stores()
    if dry_run:
        wrong = counts.find_wrong_counts(stores.postgres, stores.cassandra)
    else:
        wrong = counts.recount(stores.postgres, stores.cassandra, load(StreamSettings))
    for count in wrong:
        console.print(_format_count(count), markup=False)
    if dry_run:
        summary = f"{format_count(len(wrong), 'count is', 'counts are')} wrong."
    else:
        summary = f"{format_count(len(wrong), 'count was wrong and is', 'counts were wrong and are')} now exact."
    console.print(summary)


def _format_count(count: "CountComparison") -> str:
    stored = ", ".join(
        f"{'none' if stored_count is None else format(stored_count, ',')} in {store}"
        for store, stored_count in (("PostgreSQL", count.postgres), ("Cassandra", count.cassandra))
    )
    return f"{count.dimension}={count.value}: {count.exact:,} users, {stored}"
