"""The settings of the embedded node that depend on the machine."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from insights.local.cassandra import CassandraServer


def write_settings(state: Path) -> dict[str, Any]:
    server = CassandraServer(state, java=Path("java"), jars=Path("jars"))
    server.state.mkdir(parents=True)
    server.prepare()
    return dict(json.loads((server.state / "cassandra.yaml").read_text()))


@pytest.mark.parametrize(("accepted", "mode"), [(True, "direct"), (False, "legacy")])
def test_the_commit_log_is_written_past_the_page_cache_where_the_file_system_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accepted: bool, mode: str
) -> None:
    open_file = os.open

    def open_without_direct_io(path: Any, flags: int, *permissions: int) -> int:
        if flags & os.O_DIRECT and not accepted:
            raise OSError(22, "Invalid argument")
        return open_file(path, flags & ~os.O_DIRECT, *permissions)

    monkeypatch.setattr(os, "open", open_without_direct_io)
    assert write_settings(tmp_path)["commitlog_disk_access_mode"] == mode
