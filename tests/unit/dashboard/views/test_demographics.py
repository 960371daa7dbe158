"""Who the users are."""

from tests.helpers.app_pages import count_figures, list_alts, open_page, read_text


def test_every_figure_has_a_text_alternative():
    assert list_alts(open_page("demographics")) == [
        "Donut chart of users by gender: female 60, male 40.",
        "Bar chart of users by generation: Gen Z 100.",
        "Population pyramid of users by age, men and women: 18-24 100.",
        "Bar chart of users by country: Germany 70, France 30.",
    ]


def test_without_users_there_is_a_message_and_no_figure(fakes):
    fakes.counts = {}
    app = open_page("demographics")
    assert count_figures(app) == 0
    assert "No users yet" in read_text(app)


def test_without_cassandra_the_page_says_so(fakes):
    fakes.down = {"Cassandra"}
    app = open_page("demographics")
    assert count_figures(app) == 0
    assert "Cassandra does not answer" in read_text(app)
