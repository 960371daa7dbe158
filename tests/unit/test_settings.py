"""Settings are written to environment variables and read back."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from insights.settings import KafkaSettings, PostgresSettings, StreamSettings, load, to_environment


def test_another_process_reads_the_same_settings_from_their_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    postgres = PostgresSettings(host="::1", port=15432, password=SecretStr("p w"), sslrootcert=Path("/ca.pem"))
    kafka = KafkaSettings(bootstrap_servers="a:1,b:2", username=None, ca_file=None)
    stream = StreamSettings(trigger_seconds=0.2)
    variables = to_environment(postgres, kafka, stream)
    assert variables == {
        "INSIGHTS_POSTGRES_HOST": "::1",
        "INSIGHTS_POSTGRES_PORT": "15432",
        "INSIGHTS_POSTGRES_PASSWORD": "p w",
        "INSIGHTS_POSTGRES_SSLROOTCERT": "/ca.pem",
        "INSIGHTS_KAFKA_BOOTSTRAP_SERVERS": "a:1,b:2",
        "INSIGHTS_STREAM_TRIGGER_SECONDS": "0.2",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert (load(PostgresSettings), load(KafkaSettings), load(StreamSettings)) == (postgres, kafka, stream)
