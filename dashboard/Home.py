"""The pages, and their order."""

import streamlit as st

from dashboard.page import ICON

PAGES = {
    "Users": [
        st.Page("pages/overview.py", title="Overview", icon=":material/monitoring:", default=True),
        st.Page("pages/demographics.py", title="Demographics", icon=":material/groups:", url_path="Demographics"),
        st.Page("pages/geography.py", title="Geography", icon=":material/public:", url_path="Geography"),
        st.Page("pages/registrations.py", title="Registrations", icon=":material/event:", url_path="Registrations"),
        st.Page("pages/explore.py", title="Explore", icon=":material/search:", url_path="Explore"),
    ],
    "Operations": [
        st.Page("pages/flow.py", title="Flow", icon=":material/conversion_path:", url_path="Flow"),
        st.Page("pages/topics.py", title="Topics", icon=":material/inbox:", url_path="Topics"),
        st.Page("pages/quarantine.py", title="Quarantine", icon=":material/report:", url_path="Quarantine"),
    ],
}

# Before the navigation: the browser would fetch a page's symbol for its tab from the internet.
st.set_page_config(page_icon=ICON)
st.navigation(PAGES).run()
