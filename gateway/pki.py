"""Keys for a whole tree in one go: a local authority, https certificates and Ed25519 node keys.

For places without an authority of their own, and for the demo.  Existing files are kept, so running
it again only adds what is missing.  Private files are made with mode 0600.
"""

from __future__ import annotations

import base64
import datetime
import ipaddress
import os
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from signaling.ids import NodeCode, UtcMs

CA_DAYS = 3650
CERTIFICATE_DAYS = 397
"""The longest a browser accepts (CA/Browser Forum ballot SC31)."""
PUBLIC_KEYS = "public_keys.toml"


@dataclass(frozen=True, slots=True)
class NodeFiles:
    """Where the files of one node are."""

    private_key: Path
    tls_key: Path
    tls_cert: Path


def files_of(directory: Path, node: NodeCode) -> NodeFiles:
    """Return where ``node``'s files are under ``directory``, made or not."""
    return NodeFiles(directory / f"{node}.key", directory / f"{node}.tls.key", directory / f"{node}.tls.pem")


def make_node_keys(directory: Path, nodes: Iterable[NodeCode]) -> Path:
    """Make a node key for each of ``nodes`` and the file of public keys; return the latter."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / PUBLIC_KEYS
    public = _known(path)
    for node in nodes:
        private_path = files_of(directory, node).private_key
        if not private_path.exists():
            _write_private(private_path, Ed25519PrivateKey.generate())
        key = serialization.load_pem_private_key(private_path.read_bytes(), None)
        if not isinstance(key, Ed25519PrivateKey):
            raise ValueError(f"{private_path}: not an Ed25519 key")
        public[node] = base64.b64encode(key.public_key().public_bytes_raw()).decode()
    _write(path, _public_toml(public).encode(), 0o644)
    return path


def make_certificates(directory: Path, hosts: Mapping[NodeCode, Sequence[str]], at: UtcMs) -> Path:
    """Make an https certificate for each node from the directory's authority; return the authority's file.

    Args:
        hosts: Names and addresses each node is reached by.
        at: Now; certificates begin an hour earlier, for slow clocks.
    """
    directory.mkdir(parents=True, exist_ok=True)
    authority, authority_key = _authority(directory, at)
    for node, names in hosts.items():
        files = files_of(directory, node)
        if files.tls_cert.exists():
            continue
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _certificate(node, names, key.public_key(), authority, authority_key, at)
        _write_private(files.tls_key, key)
        chain = certificate.public_bytes(serialization.Encoding.PEM) + authority.public_bytes(
            serialization.Encoding.PEM
        )
        _write(files.tls_cert, chain, 0o644)
    return directory / "ca.pem"


def _authority(directory: Path, at: UtcMs) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    cert_path, key_path = directory / "ca.pem", directory / "ca.key"
    if cert_path.exists():
        stored = serialization.load_pem_private_key(key_path.read_bytes(), None)
        if not isinstance(stored, ec.EllipticCurvePrivateKey):
            raise ValueError(f"{key_path}: not an EC key")
        return x509.load_pem_x509_certificate(cert_path.read_bytes()), stored
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Wuji local authority")])
    builder = _builder(name, name, key.public_key(), at, CA_DAYS)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
    certificate = builder.sign(key, hashes.SHA256())
    _write_private(key_path, key)
    _write(cert_path, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
    return certificate, key


def _certificate(
    node: NodeCode,
    names: Sequence[str],
    public: ec.EllipticCurvePublicKey,
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
    at: UtcMs,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"node {node}")])
    builder = _builder(subject, authority.subject, public, at, CERTIFICATE_DAYS)
    builder = builder.add_extension(
        x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False
    )
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=False), critical=True)
    usages = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    builder = builder.add_extension(usages, critical=False)
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    return builder.add_extension(issuer, critical=False).sign(authority_key, hashes.SHA256())


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, at: UtcMs, days: int
) -> x509.CertificateBuilder:
    now = datetime.datetime.fromtimestamp(at / 1000, datetime.UTC).replace(microsecond=0)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(public)
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(hours=1))
    builder = builder.not_valid_after(now + datetime.timedelta(days=days))
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _known(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    table = tomllib.loads(path.read_text(encoding="utf-8")).get("keys", {})
    return {str(code): str(text) for code, text in table.items()}


def _public_toml(public: Mapping[str, str]) -> str:
    lines = [f'{code} = "{text}"' for code, text in sorted(public.items())]
    return "# Ed25519 public keys of the nodes, base64 of 32 bytes.\n[keys]\n" + "\n".join(lines) + "\n"


def _write_private(path: Path, key: Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> None:
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    _write(path, pem, 0o600)


def _write(path: Path, data: bytes, mode: int) -> None:
    """Put ``data`` at ``path`` whole or not at all."""
    part = path.with_name(path.name + ".part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
