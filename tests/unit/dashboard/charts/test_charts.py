"""The figures: what they draw and in which order, and that text from data cannot become markup."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dashboard import charts
from dashboard.charts import users
from dashboard.charts.base import BLUE, MUTED
from dashboard.data.growth import CountryGrowth
from insights.model.countries import load_countries
from insights.model.reasons import Reason
from insights.model.user import DIMENSIONS
from insights.stream import rules

HOSTILE = "<script>alert(1)</script>"
ESCAPED = "&lt;script&gt;alert(1)&lt;/script&gt;"
NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)


def test_countries_are_bars_by_name_with_the_largest_on_top():
    bar = charts.plot_users_by_country({"FR": 5, "DE": 9, "US": 7}, {"DE": "Germany", "FR": "France"}).data[0]
    assert bar.orientation == "h"
    assert charts.plot_users_by_country({}, {}).layout.yaxis.autorange == "reversed"
    assert list(zip(bar.y, bar.x, strict=True)) == [("Germany", 9), ("US", 7), ("France", 5)]


def test_genders_are_a_donut_with_the_total_in_its_middle():
    figure = charts.plot_users_by_gender({"male": 1000, "female": 1500})
    assert list(zip(figure.data[0].labels, figure.data[0].values, strict=True)) == [("female", 1500), ("male", 1000)]
    assert figure.layout.annotations[0].text == "2,500<br>users"


def test_a_gender_keeps_its_colour_when_another_is_missing():
    assert charts.plot_users_by_gender({"male": 1}).data[0].marker.colors == (users.GENDER_COLOURS["male"],)


def test_years_without_a_registration_are_drawn_as_zero():
    bar = charts.plot_registrations_by_year({"2005": 3, "2002": 1}).data[0]
    assert list(zip(bar.x, bar.y, strict=True)) == [
        ("2002", 1),
        ("2003", 0),
        ("2004", 0),
        ("2005", 3),
    ]


def test_months_without_a_registration_are_drawn_as_zero_across_a_new_year():
    line = charts.plot_registrations_by_month({"2020-02": 4, "2019-11": 2}, "2020-03").data[0]
    assert list(zip(line.x, line.y, strict=True)) == [("2019-11", 2), ("2019-12", 0), ("2020-01", 0), ("2020-02", 4)]


def test_the_line_is_dotted_up_to_the_current_month():
    complete, current = charts.plot_registrations_by_month({"2020-02": 4, "2020-03": 1}, "2020-03").data
    assert (list(complete.x), complete.line.dash) == (["2020-02"], "solid")
    assert (list(current.x), list(current.y), current.line.dash) == (["2020-02", "2020-03"], [4, 1], "dot")


def test_the_pyramid_mirrors_men_and_women_on_one_scale_from_young_to_old():
    figure = charts.plot_age_pyramid(
        {
            ("male", "65-74"): 1,
            ("female", "18-24"): 20,
            ("male", "0-17"): 3,
            ("female", "75+"): 4,
        }
    )
    men, women = figure.data
    assert list(men.y) == list(women.y) == ["0-17", "18-24", "65-74", "75+"]
    assert (list(men.x), list(women.x)) == ([3, 0, 1, 0], [0, 20, 0, 4])
    assert figure.layout.xaxis.range == figure.layout.xaxis2.range[::-1]
    assert figure.layout.xaxis2.range[0] == 0
    assert (figure.layout.xaxis.title.text, figure.layout.xaxis2.title.text) == ("male users", "female users")


def test_generations_go_from_old_to_young_and_unknown_ones_come_last():
    bar = charts.plot_users_by_generation({"Other": 1, "Millennials": 2, "Silent": 3}).data[0]
    assert list(bar.x) == ["Silent", "Millennials", "Other"]


def test_the_order_of_generations_is_that_of_the_rules():
    assert (*(name for _, name in rules.GENERATIONS), rules.NEWEST_GENERATION) == users.GENERATIONS


def test_the_map_places_countries_by_their_three_letter_code():
    choropleth = charts.plot_country_map({"FR": 5, "AU": 9}, {"AU": "Australia", "FR": "France"}).data[0]
    assert list(zip(choropleth.locations, choropleth.z, choropleth.text, strict=True)) == [
        ("AUS", 9, "Australia"),
        ("FRA", 5, "France"),
    ]


def test_the_map_leaves_out_an_unknown_country_code():
    assert list(charts.plot_country_map({"FR": 5, "XX": 9}, {}).data[0].locations) == ["FRA"]


def test_every_country_of_the_api_is_on_the_map():
    counts = dict.fromkeys(load_countries(), 1)
    assert len(set(charts.plot_country_map(counts, {}).data[0].locations)) == len(counts) == 21


def test_the_served_world_has_every_country_of_the_api():
    world = json.loads((Path(charts.__file__).parents[1] / "static/world_110m.json").read_text())
    drawn = {shape["id"] for shape in world["objects"]["countries"]["geometries"]}
    assert {country.alpha3 for country in load_countries().values()} <= drawn


def test_points_far_from_their_country_are_a_series_of_their_own():
    far, near = charts.plot_sample_map(
        [charts.MapPoint(48.9, 2.4, "Paris", True), charts.MapPoint(-10.0, 100.0, "Lyon", False)]
    ).data
    assert (near.name, list(near.lat), list(near.lon)) == ("near the country", [48.9], [2.4])
    assert (far.name, list(far.lat), list(far.lon)) == ("far from the country", [-10.0], [100.0])


def test_weekdays_go_from_monday_to_sunday_those_without_a_registration_included():
    bar = charts.plot_registrations_by_weekday({"7": 2, "1": 5}).data[0]
    assert list(bar.x) == ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
    assert list(bar.y) == [5, 0, 0, 0, 0, 0, 2]


def test_cohorts_are_shares_of_a_year_and_years_without_users_stay_blank():
    heat = charts.plot_cohorts({("2020", "Gen Z"): 30, ("2020", "Silent"): 10, ("2022", "Silent"): 5}).data[0]
    assert (list(heat.x), list(heat.y)) == (["2020", "2021", "2022"], ["Silent", "Gen Z"])
    assert [list(row) for row in heat.z] == [[25.0, None, 100.0], [75.0, None, 0.0]]
    assert [list(row) for row in heat.customdata] == [[10, 0, 5], [30, 0, 0]]


def test_growth_shows_a_month_in_front_of_the_month_before():
    figure = charts.plot_growth_by_country(
        [CountryGrowth("DE", 9, 4, 100), CountryGrowth("XX", 1, 2, 5)], "2026-01", {"DE": "Germany"}
    )
    before, month = figure.data
    assert list(zip(month.y, month.x, strict=True)) == [("Germany", 9), ("XX", 1)]
    assert list(zip(before.y, before.x, strict=True)) == [("Germany", 4), ("XX", 2)]
    assert (month.name, before.name) == ("January 2026", "December 2025")
    assert before.width > month.width


def test_the_current_minute_is_pale():
    minutes = [charts.MinuteArrivals(NOW - timedelta(minutes=minute), 7) for minute in (2, 1, 0)]
    colours = charts.plot_arrivals_per_minute(minutes).data[0].marker.color
    assert colours == (BLUE, BLUE, MUTED)


def test_cities_keep_their_order_and_a_missing_one_is_named():
    bar = charts.plot_users_by_city([("Ulm", 9), (None, 4)], "Germany").data[0]
    assert list(zip(bar.y, bar.x, strict=True)) == [("Ulm", 9), (charts.NOT_GIVEN, 4)]


def test_regions_are_bars_with_the_largest_on_top():
    bar = charts.plot_users_by_region({"Asia": 1, "Europe": 4}).data[0]
    assert list(zip(bar.y, bar.x, strict=True)) == [("Europe", 4), ("Asia", 1)]


def test_a_figure_is_built_once_for_the_same_counts_and_again_for_others():
    first = charts.plot_users_by_gender({"female": 11})
    assert charts.plot_users_by_gender({"female": 11}) is first
    assert charts.plot_users_by_gender({"female": 12}).data[0]["values"] == (12,)


def test_batches_are_drawn_oldest_first_with_the_seconds_of_each_store():
    figure = charts.plot_batch_durations(
        [
            charts.BatchDuration(1, NOW, 20, 1.5, None),
            charts.BatchDuration(7, NOW - timedelta(minutes=1), 10, 0.5, 0.25),
        ]
    )
    merge, deliver = figure.data
    assert list(merge.x) == [0, 1]
    assert list(figure.layout.xaxis.ticktext) == ["7", "1"]
    assert list(merge.y) == [0.5, 1.5]
    assert list(deliver.y) == [0.25, None]
    assert [list(details) for details in merge.customdata] == [[7, 10], [1, 20]]


def test_batches_of_one_number_before_and_after_a_new_checkpoint_are_two_bars():
    given = [charts.BatchDuration(number % 40, NOW + timedelta(seconds=number), 1, 1.0, 1.0) for number in range(50)]
    figure = charts.plot_batch_durations(given)
    assert len(set(figure.data[0].x)) == len(given)
    assert list(figure.layout.xaxis.ticktext) == ["0", "5", "10", "15", "20", "25", "30", "35", "0", "5"]


def test_latencies_are_lines_over_time_in_seconds():
    before = NOW - timedelta(minutes=1)
    given = [charts.BatchLatency(7, NOW, 1.5, 2.5, 3.5), charts.BatchLatency(6, before, 1.0, 2.0, 3.0)]
    figure = charts.plot_batch_latencies(given)
    assert [(line.name, list(line.y)) for line in figure.data] == [
        ("p50", [1.0, 1.5]),
        ("p95", [2.0, 2.5]),
        ("p99", [3.0, 3.5]),
    ]
    assert list(figure.data[0].x) == [before, NOW]
    assert len({line.marker.symbol for line in figure.data}) == 3
    assert (figure.layout.yaxis.type, charts.plot_batch_latencies(given, True).layout.yaxis.type) == (None, "log")


def test_partitions_are_bars_of_read_and_waiting_messages():
    parts = [charts.PartitionLoad(1, 5, 2), charts.PartitionLoad(0, 7, 0)]
    read, waiting = charts.plot_partition_load("users.raw", parts).data
    assert (list(read.y), list(read.x), list(waiting.x)) == (["0", "1"], [7, 5], [0, 2])


def test_quarantine_reasons_are_bars_with_the_most_frequent_on_top():
    bar = charts.plot_quarantine_by_reason({"SCHEMA": 9, "BAD_EMAIL": 2}).data[0]
    assert list(zip(bar.y, bar.x, strict=True)) == [("SCHEMA", 9), ("BAD_EMAIL", 2)]


def test_rejections_are_bars_that_cover_their_hour_stacked_by_reason_in_the_order_of_the_rules():
    counts = {(NOW, "BAD_EMAIL"): 2, (NOW - timedelta(hours=3), "BAD_EMAIL"): 5, (NOW, "SCHEMA"): 1, (NOW, "OLD"): 4}
    figure = charts.plot_rejected_over_time(counts, NOW - timedelta(days=7), NOW, timedelta(hours=1))
    assert [bar.name for bar in figure.data] == ["SCHEMA", "BAD_EMAIL", "OLD"]
    email = figure.data[1]
    assert list(zip(email.x, email.y, strict=True)) == [("2026-05-01 09:00", 5), ("2026-05-01 12:00", 2)]
    assert (email.offset, email.width, figure.layout.barmode) == (0, 3_600_000, "stack")
    assert figure.layout.xaxis.range == ("2026-04-24 12:00", "2026-05-01 12:00")
    assert (figure.layout.title.text, figure.layout.yaxis.title.text) == ("Rejected records by hour (UTC)", "records")


def test_the_legend_of_many_reasons_has_room_below_the_axis_and_nothing_to_lie_on():
    def plot(reasons):
        counts = {(NOW, reason): 1 for reason in reasons}
        return charts.plot_rejected_over_time(counts, NOW, NOW, timedelta(hours=1)).layout

    few, many = plot(["SCHEMA"]), plot(map(str, Reason))
    assert many.height - few.height >= 19 * (len(Reason) // 2 - 1)
    assert (many.xaxis.title.text, many.legend.yanchor) == (None, "top")


def test_no_two_reasons_look_alike_and_each_looks_the_same_in_both_figures():
    counts = dict.fromkeys(map(str, Reason), 1)
    marker = charts.plot_quarantine_by_reason(counts).data[0].marker
    looks = dict(zip(sorted(counts), zip(marker.color, marker.pattern.shape, strict=True), strict=True))
    assert len(set(looks.values())) == len(counts)
    assert marker.pattern.bgcolor == marker.color
    timed = {(NOW, reason): 1 for reason in counts}
    for bar in charts.plot_rejected_over_time(timed, NOW, NOW, timedelta(days=1)).data:
        assert (bar.marker.color, bar.marker.pattern.shape) == looks[bar.name]
        assert bar.marker.pattern.bgcolor == bar.marker.color


@pytest.mark.parametrize(
    "figure",
    [
        charts.plot_users_by_country({HOSTILE: 1}, {}),
        charts.plot_users_by_country({"FR": 1}, {"FR": HOSTILE}),
        charts.plot_users_by_gender({HOSTILE: 1}),
        charts.plot_age_pyramid({("male", HOSTILE): 1}),
        charts.plot_users_by_generation({HOSTILE: 1}),
        charts.plot_country_map({"FR": 1}, {"FR": HOSTILE}),
        charts.plot_sample_map([charts.MapPoint(1.0, 1.0, HOSTILE, True)]),
        charts.plot_users_by_region({HOSTILE: 1}),
        charts.plot_users_by_city([(HOSTILE, 1)], "France"),
        charts.plot_users_by_city([], HOSTILE),
        charts.plot_cohorts({("2020", HOSTILE): 1}),
        charts.plot_growth_by_country([CountryGrowth("FR", 1, 1, 1)], "2026-01", {"FR": HOSTILE}),
        charts.plot_quarantine_by_reason({HOSTILE: 1}),
        charts.plot_rejected_over_time({(NOW, HOSTILE): 1}, NOW, NOW, timedelta(days=1)),
        charts.plot_partition_load(HOSTILE, []),
    ],
)
def test_text_from_data_is_escaped_in_every_figure(figure):
    document = str(figure.to_dict())
    assert "<script>" not in document
    assert ESCAPED in document


@pytest.mark.parametrize(
    "figure",
    [
        charts.plot_users_by_country({}, {}),
        charts.plot_users_by_gender({}),
        charts.plot_registrations_by_year({}),
        charts.plot_registrations_by_month({}, "2020-01"),
        charts.plot_registrations_by_weekday({}),
        charts.plot_age_pyramid({}),
        charts.plot_users_by_generation({}),
        charts.plot_cohorts({}),
        charts.plot_growth_by_country([], "2026-01", {}),
        charts.plot_arrivals_per_minute([]),
        charts.plot_users_by_region({}),
        charts.plot_users_by_city([], "France"),
        charts.plot_country_map({}, {}),
        charts.plot_sample_map([]),
        charts.plot_batch_durations([]),
        charts.plot_batch_latencies([]),
        charts.plot_quarantine_by_reason({}),
        charts.plot_rejected_over_time({}, NOW, NOW, timedelta(days=1)),
    ],
)
def test_every_figure_has_a_title_even_without_data(figure):
    assert figure.layout.title.text


def test_numbers_have_a_unit_on_their_axis():
    assert charts.plot_registrations_by_year({"2020": 1}).layout.yaxis.title.text == "users"
    assert charts.plot_users_by_country({"FR": 1}, {}).layout.xaxis.title.text == "users"
    assert charts.plot_batch_durations([]).layout.yaxis.title.text == "seconds"


def test_a_figure_keeps_its_zoom():
    figure = charts.plot_users_by_country({"FR": 1}, {})
    assert figure.layout.uirevision == charts.plot_users_by_country({"FR": 2}, {}).layout.uirevision


def test_counted_dimensions_include_what_the_figures_draw():
    drawn = {
        "country_code",
        "gender",
        "gender_age_band",
        "generation",
        "country_city",
        "registered_year",
        "registered_month",
        "registered_weekday",
        "month_country",
        "year_generation",
    }
    assert drawn <= set(DIMENSIONS)
