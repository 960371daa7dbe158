"""Look at users one by one."""

import streamlit as st

from dashboard import page
from dashboard.stores import ask_cassandra, refresh_seconds
from insights.serve import queries

page.begin("Explore")


@st.fragment(run_every=refresh_seconds())
def users() -> None:
    countries = ask_cassandra(queries.counts, "country_code").value
    months = ask_cassandra(queries.counts, "registered_month").value
    if not countries or not months:
        page.no_users()
        return
    by, value, most = st.columns(3)
    names = page.COUNTRY_NAMES
    if by.selectbox("Users of a", ["country", "month"], key="by") == "country":
        code = value.selectbox("Country", sorted(countries), format_func=lambda code: names.get(code, code), key="code")
        found = ask_cassandra(queries.by_country, code, limit(most))
        total = countries[code]
    else:
        month = value.selectbox("Month of registration", sorted(months, reverse=True), key="month")
        found = ask_cassandra(queries.by_month, month, limit(most))
        total = months[month]
    if not page.answered("Cassandra", [found]):
        return
    page.table(
        [row._asdict() for row in found.value or []],
        {
            "registered_at": page.instant("Registered (UTC)"), "full_name": "Name", "gender": "Gender", "age": "Age",
            "country_code": "Country",
        },
        "Table of users of a country or month",
    )  # fmt: skip
    st.caption(f"{len(found.value or []):,} of {total:,} users, the latest registered first.")


def limit(place: st.delta_generator.DeltaGenerator) -> int:
    return int(place.selectbox("At most", [20, 50, 100, 200], key="limit"))


users()
