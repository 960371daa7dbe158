"""Open a page in a test, and read what it shows."""

from typing import Any

from streamlit.testing.v1 import AppTest

from tests.helpers.support import REPOSITORY

HOSTILE = "<script>alert(1)</script> ![x](http://example.org/x.png) [y](http://example.org) :red[z]"
PAGES = REPOSITORY / "dashboard" / "views"


def open_page(name: str) -> AppTest:
    """Run the page of that name once."""
    app = AppTest.from_file(str(PAGES / f"{name}.py"), default_timeout=30).run()
    assert not app.exception
    return app


def get_metrics(app: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in app.metric}


def read_text(app: AppTest) -> str:
    """Return all text of the page that is rendered as Markdown."""
    kinds: list[Any] = [app.title, app.subheader, app.markdown, app.caption]
    kinds += [app.warning, app.info, app.error, app.success]
    return "\n".join(element.value for kind in kinds for element in kind)


def count_figures(app: AppTest) -> int:
    return len(app.get("plotly_chart"))


def list_alts(app: AppTest) -> list[str]:
    """Return the alternative texts of the figures, in the order of the page."""
    return [chart.proto.alt for chart in app.get("plotly_chart")]


def get_table(app: AppTest, column: str) -> Any:
    return next(frame.value for frame in app.dataframe if column in frame.value.columns)
