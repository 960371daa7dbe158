import json
import multiprocessing
import os
import stat
from dataclasses import asdict

import pytest

from insights.errors import UserError
from insights.local.home import (
    HomeLock,
    delete_home,
    find_running_process,
    read_description,
    require_free_space,
    stop_running,
)
from insights.local.secrets import Secrets


@pytest.fixture
def held(tmp_path):
    lock = HomeLock(tmp_path / "home")
    lock.acquire()
    yield tmp_path / "home"
    lock.release()


def _hold(home, ready):
    lock = HomeLock(home)
    lock.acquire()
    ready.set()
    multiprocessing.Event().wait()


def test_a_second_platform_beside_the_first_is_refused_with_its_process(held):
    with pytest.raises(UserError, match=f"already runs from {held} .process {os.getpid()}.*insights down"):
        HomeLock(held).acquire()


def test_a_released_directory_has_no_running_process(tmp_path):
    lock = HomeLock(tmp_path)
    lock.acquire()
    assert find_running_process(tmp_path) == os.getpid()
    lock.release()
    assert find_running_process(tmp_path) is None
    lock.acquire()
    lock.release()


def test_a_directory_with_other_files_is_not_taken_over(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="holds other files: set INSIGHTS_HOME"):
        HomeLock(tmp_path).acquire()


def test_stopping_signals_the_process_that_holds_the_lock(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    holder = context.Process(target=_hold, args=(tmp_path, ready))
    holder.start()
    assert ready.wait(30)
    assert stop_running(tmp_path, 20)
    holder.join(20)
    assert holder.exitcode == -15
    assert not stop_running(tmp_path, 20)


def test_reset_deletes_a_platforms_directory_and_accepts_a_missing_one(tmp_path):
    home = tmp_path / "home"
    lock = HomeLock(home)
    lock.acquire()
    lock.release()
    (home / "postgres").mkdir()
    delete_home(home)
    assert not home.exists()
    delete_home(home)


def test_reset_refuses_a_running_platform_and_a_directory_that_is_not_one(held, tmp_path):
    with pytest.raises(UserError, match="already runs from"):
        delete_home(held)
    assert held.exists()
    (tmp_path / "thesis").mkdir()
    with pytest.raises(UserError, match="holds no platform"):
        delete_home(tmp_path / "thesis")
    assert (tmp_path / "thesis").exists()


def test_too_little_free_space_is_reported_in_figures(tmp_path):
    with pytest.raises(UserError, match=r"Only [\d.]+ GB is free on the disk of .*, and 1000000\.0 GB is needed"):
        require_free_space(tmp_path / "not" / "yet", 10**15)
    require_free_space(tmp_path / "not" / "yet", 1)


def test_a_directory_without_a_description_is_reported(tmp_path):
    with pytest.raises(UserError, match=r"No platform was started from .*: run `insights up` first"):
        read_description(tmp_path)


def test_secrets_are_generated_once_and_readable_by_their_owner_only(tmp_path):
    path = tmp_path / "home" / "secrets.json"
    first = Secrets.load_or_create(path)
    assert Secrets.load_or_create(path) == first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Secrets.load_or_create(tmp_path / "other.json") != first
    path.write_text('{"airflow_password": "x"}')
    with pytest.raises(UserError, match="is damaged: run `insights reset`"):
        Secrets.load_or_create(path)


def test_a_secret_of_a_later_version_is_added_to_the_stored_ones(tmp_path):
    path = tmp_path / "secrets.json"
    first = asdict(Secrets.load_or_create(path))
    path.write_text(json.dumps({name: text for name, text in first.items() if name != "airflow_dashboard_password"}))
    second = Secrets.load_or_create(path)
    assert second.airflow_dashboard_password not in ("", first["airflow_dashboard_password"])
    assert asdict(second) == first | {"airflow_dashboard_password": second.airflow_dashboard_password}
    assert Secrets.load_or_create(path) == second


def test_only_the_owner_may_enter_the_directory(tmp_path):
    (tmp_path / "home").mkdir(mode=0o755)
    lock = HomeLock(tmp_path / "home")
    lock.acquire()
    assert stat.S_IMODE((tmp_path / "home").stat().st_mode) == 0o700
    lock.release()


def test_a_path_that_cannot_be_a_directory_is_refused_in_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file cannot hold a platform \(File exists\): set INSIGHTS_HOME"):
        HomeLock(tmp_path / "file").acquire()


def test_a_platform_that_has_not_written_its_process_id_yet_is_not_signalled(held):
    (held / "platform.lock").write_text("")
    assert find_running_process(held) == 0
    with pytest.raises(UserError, match="did not stop within 0 s"):
        stop_running(held, 0)


def test_a_reset_that_cannot_delete_everything_can_be_run_again(tmp_path, monkeypatch):
    home = tmp_path / "home"
    (home / "kafka").mkdir(parents=True)
    (home / "platform.lock").write_text("")
    with monkeypatch.context() as broken:
        broken.setattr("insights.local.home.shutil.rmtree", _refuse)
        with pytest.raises(UserError, match=r"could not be deleted completely .*: run `insights reset` again"):
            delete_home(home)
    delete_home(home)
    assert not home.exists()


def _refuse(path):
    raise OSError(39, "Directory not empty", str(path))
