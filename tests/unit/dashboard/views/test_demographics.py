"""Who the users are."""

from tests.helpers.app_pages import alts, figures, opened, said


def test_the_figures_say_in_words_what_they_show():
    assert alts(opened("demographics")) == [
        "Donut of users by gender: female 60, male 40.",
        "Bars of users by generation: Gen Z 100.",
        "Pyramid of users by age, men against women: 18-24 100.",
        "Bars of users by country: Germany 70, France 30.",
    ]


def test_without_users_there_is_a_sentence_and_no_figure(fakes):
    fakes.counts = {}
    app = opened("demographics")
    assert figures(app) == 0
    assert "No users yet" in said(app)


def test_without_cassandra_the_page_says_so(fakes):
    fakes.down = {"Cassandra"}
    app = opened("demographics")
    assert figures(app) == 0
    assert "Cassandra does not answer" in said(app)
