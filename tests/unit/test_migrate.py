from insights.migrate import MIGRATIONS, cql_statements


def test_a_cql_file_splits_at_semicolons_that_end_a_line() -> None:
    text = "-- a note; with a semicolon;\nCREATE TABLE a (\n  b text\n);\n\nINSERT INTO a (b) VALUES ('x;y');\n"
    assert cql_statements(text) == ["CREATE TABLE a (\n  b text\n)", "INSERT INTO a (b) VALUES ('x;y')"]


def test_every_statement_for_cassandra_can_be_repeated() -> None:
    files = sorted((MIGRATIONS / "cassandra").glob("*.cql"))
    statements = [statement for path in files for statement in cql_statements(path.read_text())]
    assert len(statements) >= 5
    assert [statement for statement in statements if "IF NOT EXISTS" not in statement] == []
