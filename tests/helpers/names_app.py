"""A page with every hostile name, in each way in which the pages show text from data."""

import streamlit as st

from dashboard import charts
from dashboard.components import formatting, page
from tests.helpers.hostile_names import NAMES

page.begin_page("Names")
for name in NAMES:
    with st.container(key=f"name-{NAMES.index(name)}"):
        st.markdown(formatting.escape_markdown(name))
page.draw_figure(
    charts.plot_users_by_country({name: index + 1 for index, name in enumerate(NAMES)}, {}), "Bar chart of names"
)
page.draw_table([{"name": name} for name in NAMES], {"name": "Name"}, "Table of names")
st.text("The end.")
