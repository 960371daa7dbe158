"""The script of every visitor: the pages and their order.

The pages are not in a directory named `pages`: until the navigation has run once, Streamlit would treat that as its
older kind of multipage app and tell the first visitor that the page does not exist.
"""

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from dashboard.components.icon import ICON
from dashboard.metrics import measure_render

PAGES = {
    "Users": [
        st.Page("views/overview.py", title="Overview", icon=":material/monitoring:", default=True),
        st.Page("views/demographics.py", title="Demographics", icon=":material/groups:"),
        st.Page("views/geography.py", title="Geography", icon=":material/public:"),
        st.Page("views/registrations.py", title="Registrations", icon=":material/event:"),
        st.Page("views/explore.py", title="Explore", icon=":material/search:"),
    ],
    "Operations": [
        st.Page("views/flow.py", title="Flow", icon=":material/conversion_path:"),
        st.Page("views/topics.py", title="Topics", icon=":material/inbox:"),
        st.Page("views/quarantine.py", title="Quarantine", icon=":material/report:"),
    ],
}


def redirect(target: StreamlitPage) -> StreamlitPage:
    """A page without an entry in the menu at the capitalised address that `target` had before, which leads there."""

    def switch() -> None:
        st.switch_page(target, query_params=st.query_params.to_dict())

    return st.Page(switch, title=target.title, url_path=target.url_path.capitalize(), visibility="hidden")


ALL_PAGES = {
    section: [*pages, *(redirect(page) for page in pages if page.url_path)] for section, pages in PAGES.items()
}

# Before the navigation, or else the browser fetches the page's icon for its tab from the internet.
st.set_page_config(page_icon=ICON)
page = st.navigation(ALL_PAGES)
with measure_render(page.title):
    page.run()
