"""The icon of the tab: on its own, so that the list of pages goes to the browser before anything large is loaded."""

from pathlib import Path

ICON = str(Path(__file__).parents[1] / "static" / "icon.svg")
