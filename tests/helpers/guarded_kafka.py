"""A broker that requires SASL authentication over TLS, with a certificate authority of its own."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from insights.local.kafka import KafkaServer

PASSWORD = 'quoted " and \\ back'


class GuardedKafka(KafkaServer):
    """Listens with `PLAINTEXT` for the tests' own clients, and with `SASL_SSL` on `guarded_port` for user `alice`."""

    def __init__(self, state_dir: Path, port: int, *, guarded_port: int, **others: Any) -> None:
        super().__init__(state_dir, port, **others)
        self.guarded_port = guarded_port
        self.authority = self.state / "ca.crt"

    def prepare(self) -> None:
        self._make_certificates()
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

    def _make_certificates(self) -> None:
        if self.authority.exists():
            return
        issuer, broker = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        authority = _sign_certificate("tests", issuer, issuer, x509.BasicConstraints(ca=True, path_length=None))
        address = x509.SubjectAlternativeName([x509.IPAddress(ip_address(self.host))])
        certificate = _sign_certificate("broker", broker, issuer, address)
        self.authority.write_bytes(authority)
        key = broker.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (self.state / "broker.pem").write_bytes(key + certificate + authority)


def _sign_certificate(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: ec.EllipticCurvePrivateKey, extension: Any
) -> bytes:
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(extension, critical=False)
        .sign(issuer, hashes.SHA256())
    )
    return certificate.public_bytes(Encoding.PEM)
