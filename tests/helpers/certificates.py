"""Certificates of test servers, signed by an authority of the tests."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


def write_certificates(folder: Path, name: str, *hosts: str) -> Path:
    """Write `<name>.pem` with a key and its certificate for host names or addresses. Returns the authority's file."""
    authority = folder / "ca.crt"
    issuer, server = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root = _sign_certificate("tests", issuer, issuer, x509.BasicConstraints(ca=True, path_length=None))
    certificate = _sign_certificate(name, server, issuer, x509.SubjectAlternativeName([_name(host) for host in hosts]))
    key = server.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / f"{name}.pem").write_bytes(key + certificate + root)
    authority.write_bytes(root)
    return authority


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


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
