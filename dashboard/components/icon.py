"""The icon of the browser's tab, in a module of its own so that the navigation loads without anything large."""

from pathlib import Path

ICON = str(Path(__file__).parents[1] / "static" / "icon.svg")
