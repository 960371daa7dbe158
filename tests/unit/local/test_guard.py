import io
import signal

from insights.local import guard


def test_a_leader_that_has_already_ended_does_not_keep_the_others_from_being_signalled(monkeypatch):
    signals = []

    def kill(process, number):
        signals.append((process, number))
        if process == 11:
            raise ProcessLookupError

    alive = {11: [11], 22: [22]}
    monkeypatch.setattr("insights.local.guard.os.kill", kill)
    monkeypatch.setattr("insights.local.guard.signal.signal", lambda *_: None)
    monkeypatch.setattr(
        guard, "list_session_members", lambda session: alive[session] if not _are_signalled(signals) else []
    )
    monkeypatch.setattr("insights.local.guard.sys.stdin", io.StringIO("+11 15\n+22 2\n+33 15\n-33\n"))
    guard.main()
    assert signals == [(11, signal.SIGTERM), (22, signal.SIGINT)]


def _are_signalled(signals):
    return len(signals) == 2
