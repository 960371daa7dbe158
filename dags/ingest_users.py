"""Fetch pages of the Random User API into PostgreSQL staging."""

from datetime import timedelta

from airflow.sdk import Param, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException, AirflowRescheduleException

from insights.clients.dag_arguments import DAG_ARGUMENTS, TASK_ARGUMENTS

PAGES_PER_TASK = 5


@dag(
    schedule="*/10 * * * *",
    **DAG_ARGUMENTS,
    default_args=TASK_ARGUMENTS | {"retries": 3, "retry_delay": timedelta(seconds=20), "retry_exponential_backoff": 2},
    params={
        "pages": Param(2, type="integer", minimum=1, maximum=1000, description="Pages per run."),
        "page_size": Param(None, type=["null", "integer"], minimum=1, maximum=5000, description="Records per page."),
        "nationalities": Param("", type="string", pattern="^([A-Za-z]{2}(,[A-Za-z]{2})*)?$", description="US,DE,..."),
        "gender": Param("", type="string", enum=["", "female", "male"]),
    },
    doc_md="The DAG's id, a run's logical date and parameters determine its pages. Those that staging has are skipped."
    " A task that waits for the source is `up_for_reschedule`. `page_size` defaults to `INSIGHTS_SOURCE_PAGE_SIZE`.",
)
def ingest_users():
    @task
    def plan() -> list[list[int]]:
        pages = range(1, get_current_context()["params"]["pages"] + 1)
        return [list(pages[first : first + PAGES_PER_TASK]) for first in range(0, len(pages), PAGES_PER_TASK)]

    @task(max_active_tis_per_dagrun=2)
    def stage(pages: list[int]) -> dict[str, int]:
        """Fetch pages and load them into staging. Returns the counts of records."""
        from insights.ingest.pages import PostponedError, RunOfPages
        from insights.ingest.task import stage_pages
        from insights.source import SourceError, derive_seed

        context = get_current_context()
        run, params = context["dag_run"], context["params"]
        filters = {name: params[name] for name in ("nationalities", "gender") if params[name]}
        seed = derive_seed(run.dag_id, run.logical_date or run.run_after)
        asked = RunOfPages(run.dag_id, run.run_id, seed, pages, params["page_size"])
        try:
            return stage_pages(asked, filters)
        except PostponedError as postponed:
            print(postponed)
            raise AirflowRescheduleException(postponed.until) from None
        except SourceError as error:
            raise (error if error.retryable else AirflowFailException(str(error))) from None

    stage.expand(pages=plan())


ingest_users()
