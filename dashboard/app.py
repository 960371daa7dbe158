"""The entry point: the pages and their order.

The pages are not in a directory named `pages`: until the navigation has run once, Streamlit would treat that as its
older kind of multipage app and tell the first visitor that the page does not exist.
"""

import streamlit as st

from dashboard.components.icon import ICON

PAGES = {
    "Users": [
        st.Page("views/overview.py", title="Overview", icon=":material/monitoring:", default=True),
        st.Page("views/demographics.py", title="Demographics", icon=":material/groups:", url_path="Demographics"),
        st.Page("views/geography.py", title="Geography", icon=":material/public:", url_path="Geography"),
        st.Page("views/registrations.py", title="Registrations", icon=":material/event:", url_path="Registrations"),
        st.Page("views/explore.py", title="Explore", icon=":material/search:", url_path="Explore"),
    ],
    "Operations": [
        st.Page("views/flow.py", title="Flow", icon=":material/conversion_path:", url_path="Flow"),
        st.Page("views/topics.py", title="Topics", icon=":material/inbox:", url_path="Topics"),
        st.Page("views/quarantine.py", title="Quarantine", icon=":material/report:", url_path="Quarantine"),
    ],
}

# Before the navigation, or else the browser fetches the page's icon for its tab from the internet.
st.set_page_config(page_icon=ICON)
st.navigation(PAGES).run()
