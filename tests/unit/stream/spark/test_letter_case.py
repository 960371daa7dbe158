"""The letter case of names and places by language, and compared with the source's own."""

import json
from collections.abc import Iterator

import pytest

from insights.model.user import User
from insights.stream.letter_case import TITLED
from tests.helpers.raw_users import message, user
from tests.helpers.recorded_answers import MANY_ANSWERS, needs_many_answers

CASES = (
    ("TR", "name__first", "İBRAHİM", "İbrahim"),
    ("TR", "name__first", "ibrahim", "İbrahim"),
    ("TR", "name__last", "YILDIZ", "Yıldız"),
    ("TR", "name__last", "ışık", "Işık"),
    ("TR", "location__street", "7814 ismet inönü cd", "7814 İsmet İnönü Cd"),
    ("TR", "location__city", "ağrı-iğdır", "Ağrı-İğdır"),
    ("US", "name__first", "IBRAHIM", "Ibrahim"),
    ("BR", "location__state", "rio de janeiro", "Rio de Janeiro"),
    ("BR", "location__state", "RIO DE JANEIRO", "Rio de Janeiro"),
    ("BR", "name__last", "da paz", "da Paz"),
    ("BR", "name__last", "DOS SANTOS E SILVA", "dos Santos e Silva"),
    ("BR", "location__street", "307 rua dezenove de outubro", "307 Rua Dezenove de Outubro"),
    ("US", "name__last", "da paz", "Da Paz"),
    ("NO", "location__state", "sogn og fjordane", "Sogn og Fjordane"),
    ("NO", "location__street", "karl johans gate 5", "Karl Johans gate 5"),
    ("ES", "location__state", "la rioja", "La Rioja"),
    ("ES", "location__state", "castilla y león", "Castilla y León"),
    ("MX", "name__last", "de la fuente", "de la Fuente"),
    ("FR", "location__city", "VITRY-SUR-SEINE", "Vitry-sur-Seine"),
    ("FR", "location__city", "aix-en-provence", "Aix-en-Provence"),
    ("FR", "location__city", "le mans", "Le Mans"),
    ("FR", "location__street", "5529 place de l'abbé-basset", "5529 Place de L'Abbé-Basset"),
    ("FR", "name__last", "le gall", "Le Gall"),
    ("GB", "location__city", "newcastle upon tyne", "Newcastle upon Tyne"),
    ("GB", "location__street", "6266 the crescent", "6266 The Crescent"),
    ("IE", "location__city", "carrick-on-shannon", "Carrick-on-Shannon"),
    ("IE", "name__last", "o'connor", "O'Connor"),
    ("IE", "name__last", "MCDONALD", "Mcdonald"),
    ("IE", "name__last", "McDonald", "McDonald"),
    ("DE", "location__city", "neustadt an der weinstraße", "Neustadt an der Weinstraße"),
    ("DE", "location__street", "STRASSE 5", "Strasse 5"),
    ("DE", "name__last", "VON DER LEYEN", "von der Leyen"),
    ("DE", "name__last", "ßen", "Ssen"),
    ("NL", "name__last", "van der meijde", "van der Meijde"),
    ("NL", "name__last", "Van der Meijde", "Van der Meijde"),
    ("NL", "name__last", "ijsselstein", "IJsselstein"),
    ("NL", "location__city", "BERGEN OP ZOOM", "Bergen op Zoom"),
    ("NL", "location__city", "'s-hertogenbosch", "'s-Hertogenbosch"),
    ("RS", "name__first", "ǆena", "ǅena"),
    ("FR", "name__last", "ΣΊΣΥΦΟΣ ΣΑΣ", "Σίσυφος Σας"),
    ("DE", "name__first", "ნინო", "ნინო"),
    ("DE", "name__first", "ᲜᲘᲜᲝ", "ნინო"),
    ("GB", "location__state", "NSW", "NSW"),
)


@pytest.fixture(scope="module")
def cased(process):
    """Return the texts that the stream makes of all cases."""
    outcomes = process(
        [message(user(nat=nat, **{field: text}), offset) for offset, (nat, field, text, _) in enumerate(CASES)]
    )
    assert all(isinstance(outcome, User) for outcome in outcomes)
    return [getattr(outcome, _to_user_field(field)) for outcome, (_, field, _, _) in zip(outcomes, CASES, strict=True)]


def _to_user_field(field: str) -> str:
    *_, name = field.split("__")
    return f"{name}_name" if name in ("first", "last") else name


@pytest.mark.parametrize("position", range(len(CASES)), ids=[f"{case[0]} {case[2]}" for case in CASES])
def test_letter_case_follows_the_language(cased, position):
    assert cased[position] == CASES[position][3]


@pytest.mark.parametrize("upper", [False, True], ids=["lower", "upper"])
def test_no_dotless_combination_of_a_dot_remains(process, upper):
    name = "İBRAHİM" if upper else "İbrahim"
    (outcome,) = process([message(user(nat="TR", name__first=name, email=f"{name}@example.com"))])
    assert (outcome.first_name, outcome.email) == ("İbrahim", "ibrahim@example.com")


IRREGULAR = {
    "Aix-En-Provence",
    "Avenida de La Albufera",
    "Calle de La Almudena",
    "Calle de La Democracia",
    "Eje vial Carmona",
    "Eje vial Gambia",
    "Eje vial Michoacán de Ocampo",
    "Haarle gem Hellendoorn",
    "Hawke'S Bay",
    "Iezhi G'edroycya",
    "Marka Končara-bure",
    "Maydan Magdeburzkogo prava",
    "Milorada ćirića",
    "NAD X Rd",
    "Nepantla de Sor Juana Inés de",
    "Quai Charles-De-Gaulle",
    "Rua Das Flores",
    "Rua Vinte E Dois",
    "Rua Vinte E Quatro de Outubro",
    "Rue de L'Abbé-De-L'Épée",
    "StanićStanković",
    "Territoire De Belfort",
}
"""Values of the recorded answers that the source itself writes in several ways, or differently from their language."""


def _read_answers(name: str) -> list[dict]:
    records: list[dict] = json.loads((MANY_ANSWERS / f"{name}.json").read_bytes())["results"]
    return records


def _list_texts(record: dict) -> Iterator[tuple[str, str]]:
    for field in TITLED:
        group, name = field.split("__")
        text = record[group][name]
        yield field, " ".join((f"{text['number']} {text['name']}" if isinstance(text, dict) else text).split())


@needs_many_answers
def test_answers_in_lower_case_become_what_later_versions_of_the_api_answer_for_the_same_persons(process):
    pairs = [
        (older, dict(_list_texts(newer)))
        for older, newer in zip(_read_answers("v1.2-foobar-100"), _read_answers("v1.3-foobar-100"), strict=True)
    ]
    assert all(older["login"]["uuid"] for older, _ in pairs)
    outcomes = process([message(older, offset, older["login"]["uuid"]) for offset, (older, _) in enumerate(pairs)])
    compared, different = 0, []
    for outcome, (older, newer) in zip(outcomes, pairs, strict=True):
        if not isinstance(outcome, User):
            continue
        for field, text in _list_texts(older):
            if text.lower() == newer[field].lower():
                compared += 1
                got = getattr(outcome, _to_user_field(field))
                different += [(older["nat"], newer[field], got)] if got != newer[field] else []
    assert compared == 101
    assert different == []


@needs_many_answers
def test_answers_survive_being_lowered(process):
    """Every name and place in mixed case is written in lower case, and becomes what it was."""
    records = [
        record
        for name in ("v1.3-foobar-100", "v1.4-foobar-1000", "v1.4-nations-200")
        for record in _read_answers(name)
        if record["nat"] != "TR"
    ]
    messages = []
    for offset, record in enumerate(records):
        texts = {field: text.lower() for field, text in _list_texts(record)}
        changed = user(**texts, nat=record["nat"])
        messages.append(message(changed, offset))
    different = set()
    compared = 0
    for outcome, record in zip(process(messages), records, strict=True):
        assert isinstance(outcome, User)
        for field, text in _list_texts(record):
            compared += 1
            got = getattr(outcome, _to_user_field(field))
            if got != text and not (record["nat"] == "NL" and got.lower() == text.lower()):
                different.add(text.lstrip("0123456789 ") if field == "location__street" else text)
    assert compared > 7000
    assert different <= IRREGULAR
