"""A broker that requires SASL authentication over TLS, with a certificate authority of its own."""

from pathlib import Path
from typing import Any

from insights.local.kafka import KafkaServer
from tests.helpers.certificates import write_certificates

PASSWORD = 'quoted " and \\ back'


class GuardedKafka(KafkaServer):
    """Listens with `PLAINTEXT` for the tests' own clients, and with `SASL_SSL` on `guarded_port` for user `alice`."""

    def __init__(self, state_dir: Path, port: int, *, guarded_port: int, **others: Any) -> None:
        super().__init__(state_dir, port, **others)
        self.guarded_port = guarded_port
        self.authority = self.state / "ca.crt"

    def prepare(self) -> None:
        if not self.authority.exists():
            write_certificates(self.state, "broker", self.host)
        super().prepare()

    def _build_settings(self) -> dict[str, object]:
        settings = super()._build_settings()
        guarded = f"SASL_SSL://{self.host}:{self.guarded_port}"
        return settings | {
            "listeners": f"{settings['listeners']},{guarded}",
            "advertised.listeners": f"{settings['advertised.listeners']},{guarded}",
            "listener.security.protocol.map": f"{settings['listener.security.protocol.map']},SASL_SSL:SASL_SSL",
            "inter.broker.listener.name": "PLAINTEXT",
            "sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": (
                "org.apache.kafka.common.security.scram.ScramLoginModule required;"
            ),
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": self.state / "broker.pem",
        }

    def _build_format_command(self) -> list[str]:
        return [*super()._build_format_command(), "--add-scram", f"SCRAM-SHA-512=[name=alice,password={PASSWORD}]"]
