"""A page as a test opens it, and what can be read there."""

from typing import Any

from streamlit.testing.v1 import AppTest

from tests.helpers.support import REPOSITORY

HOSTILE = "<script>alert(1)</script> ![x](http://example.org/x.png) [y](http://example.org) :red[z]"
PAGES = REPOSITORY / "dashboard" / "views"


def opened(name: str) -> AppTest:
    """The page of that name, run once."""
    app = AppTest.from_file(str(PAGES / f"{name}.py"), default_timeout=30).run()
    assert not app.exception
    return app


def metrics(app: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in app.metric}


def said(app: AppTest) -> str:
    """All text of the page that is read as Markdown."""
    kinds: list[Any] = [app.title, app.subheader, app.markdown, app.caption]
    kinds += [app.warning, app.info, app.error, app.success]
    return "\n".join(element.value for kind in kinds for element in kind)


def figures(app: AppTest) -> int:
    return len(app.get("plotly_chart"))


def alts(app: AppTest) -> list[str]:
    """What the figures say in words, in the order of the page."""
    return [chart.proto.alt for chart in app.get("plotly_chart")]


def table(app: AppTest, column: str) -> Any:
    return next(frame.value for frame in app.dataframe if column in frame.value.columns)
