"""`insights recount`: count the served users again."""

from typing import TYPE_CHECKING, Annotated

import typer

from insights.cli.app import app, console, load_stores
from insights.errors import UserError
from insights.settings import StreamSettings, load

if TYPE_CHECKING:
    from insights.repair.recount import CountComparison


@app.command()
def recount(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what is wrong.")] = False,
) -> None:
    """Set the counts of PostgreSQL and Cassandra to the number of served users, also while the stream runs."""
    try:
        from insights.repair import recount as counts
    except ModuleNotFoundError as error:
        raise UserError(f"`insights recount` needs {error.name}: run it in a container of the stream.") from None
    found = load_stores()
    if dry_run:
        wrong = counts.find_wrong_counts(found.postgres, found.cassandra)
    else:
        wrong = counts.recount(found.postgres, found.cassandra, load(StreamSettings))
    for count in wrong:
        console.print(_line(count), markup=False)
    console.print(f"{len(wrong):,} counts {'are wrong' if dry_run else 'were wrong and are exact now'}.")


def _line(count: "CountComparison") -> str:
    kept = ", ".join(
        f"{'none' if number is None else format(number, ',')} in {store}"
        for store, number in (("PostgreSQL", count.postgres), ("Cassandra", count.cassandra))
    )
    return f"{count.dimension}={count.value}: {count.exact:,} users, {kept}"
