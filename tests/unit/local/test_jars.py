import hashlib

import pytest

from insights.errors import UserError
from insights.local import jars
from insights.local.jars import Jar, ensure_jars, read_lock

CONTENT = b"a jar"
JAR = Jar("kafka", "org.example", "thing", "1.0", "", hashlib.sha256(CONTENT).hexdigest())
NATIVE = Jar("kafka", "org.example", "thing", "1.0", "native", JAR.sha256)


@pytest.fixture
def ivy(monkeypatch):
    """A fake Ivy that writes `served`, content by file name, and records its runs."""

    class Ivy:
        def __init__(self):
            self.served = {JAR.file: CONTENT, NATIVE.file: CONTENT}
            self.runs: list[str] = []

        def __call__(self, _java, into, dependencies, **_):
            self.runs = [*self.runs, dependencies]
            for name, content in self.served.items():
                (into / name).write_bytes(content)
            return "no route to host"

    fake = Ivy()
    monkeypatch.setattr(jars, "_run_ivy", fake)
    return fake


def test_the_lock_in_the_repository_holds_every_root_with_a_hash_and_no_address():
    locked = read_lock()
    assert {(jar.group, jar.organisation, jar.name, jar.version) for jar in locked} >= {
        (group, root.organisation, root.name, root.version) for group, roots in jars.ROOTS.items() for root in roots
    }
    assert len([jar for jar in locked if jar.group == "spark"]) == 4
    assert "://" not in jars.LOCK.read_text()
    assert all(set(jar.sha256) <= set("0123456789abcdef") for jar in locked)


def test_a_line_of_the_lock_reads_back_as_it_was_written(tmp_path):
    lock = tmp_path / "jars.lock"
    lock.write_text(f"# comment\n\n{JAR.format_line()}\n{NATIVE.format_line()}  # why\n")
    assert read_lock(lock) == [JAR, NATIVE]
    assert NATIVE.file == "org.example__thing__1.0__native.jar"


@pytest.mark.parametrize(
    "line", ["kafka org.example:thing 00", f"kafka a:b:c:d:e {'0' * 64}", "a:b:c", f"kafka a:b:c {'0' * 63}"]
)
def test_a_damaged_line_of_the_lock_is_named(tmp_path, line):
    lock = tmp_path / "jars.lock"
    lock.write_text(f"# header\n{line}\n")
    with pytest.raises(UserError, match=r"jars\.lock line 2 is "):
        read_lock(lock)


def test_nothing_is_downloaded_when_every_jar_is_intact(tmp_path, ivy):
    (tmp_path / JAR.file).write_bytes(CONTENT)
    assert ensure_jars([JAR], tmp_path, tmp_path) == 0
    assert ivy.runs == []


def test_a_corrupt_jar_and_a_missing_one_are_downloaded(tmp_path, ivy):
    (tmp_path / JAR.file).write_bytes(b"half a j")
    assert ensure_jars([JAR, NATIVE], tmp_path, tmp_path) == 2
    assert (tmp_path / JAR.file).read_bytes() == CONTENT
    assert len(ivy.runs) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [JAR.file, NATIVE.file]


def test_classifiers_of_one_module_share_an_element_so_that_ivy_keeps_both(tmp_path, ivy):
    ensure_jars([JAR, NATIVE], tmp_path, tmp_path)
    assert ivy.runs[0].count("<dependency ") == 1
    assert ivy.runs[0].count("<artifact ") == 2
    assert 'm:classifier="native"' in ivy.runs[0]


def test_a_download_with_different_content_is_rejected_and_not_stored(tmp_path, ivy):
    ivy.served = {JAR.file: b"something else"}
    with pytest.raises(
        UserError, match=r"org\.example:thing:1\.0 was downloaded with content that differs from jars\.lock"
    ):
        ensure_jars([JAR], tmp_path, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_download_names_the_jar_and_the_reason(tmp_path, ivy):
    ivy.served = {}
    with pytest.raises(UserError, match=r"thing:1\.0 could not be downloaded \(no route to host\): check the network"):
        ensure_jars([JAR], tmp_path, tmp_path)


def test_a_cache_that_is_not_writable_is_named_with_the_variable(tmp_path, ivy):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot be stored in .*file \(File exists\): .*INSIGHTS_CACHE"):
        ensure_jars([JAR], tmp_path / "file", tmp_path)
    assert ivy.runs == []


def test_only_the_given_groups_go_into_the_given_folder(tmp_path, monkeypatch, capsys):
    calls = []
    monkeypatch.setattr(jars, "find_java", lambda: tmp_path)

    def ensure_nothing(requested, cache, _java):
        calls.append((requested, cache))
        return 0

    monkeypatch.setattr(jars, "ensure_jars", ensure_nothing)
    jars.main(["--into", str(tmp_path / "into"), "spark", "object-store"])
    [(requested, cache)] = calls
    assert {jar.group for jar in requested} == {"spark", "object-store"}
    assert cache == tmp_path / "into"
    assert capsys.readouterr().out == f"Every jar is in {tmp_path / 'into'}.\n"


def test_an_unknown_group_is_named(tmp_path, capsys):
    with pytest.raises(SystemExit):
        jars.main(["--into", str(tmp_path), "sparks"])
    assert "there is no group 'sparks': choose from kafka, cassandra, spark, object-store" in capsys.readouterr().err
