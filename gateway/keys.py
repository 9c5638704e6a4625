"""Node keys: this gateway's Ed25519 private key and the public keys of all the others."""

from __future__ import annotations

import base64
import binascii
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from signaling.errors import Refused
from signaling.ids import NodeCode


class KeyFileError(Exception):
    """A key file is missing or not what it should be; the text names it."""


class Keys(Protocol):
    """Signs as this node, checks what any node signed."""

    def sign(self, data: bytes) -> str: ...
    def verify(self, node: NodeCode, data: bytes, signature: str) -> None: ...


class NodeKeys:
    """Signs as one node, and checks what any known node signed."""

    def __init__(self, node: NodeCode, private: Ed25519PrivateKey, public: Mapping[NodeCode, Ed25519PublicKey]) -> None:
        self.node = node
        self.private = private
        self.public = dict(public)

    @classmethod
    def load(cls, node: NodeCode, private_key_file: Path, public_keys_file: Path) -> NodeKeys:
        """Return the keys in the two files.

        Raises:
            KeyFileError: A file cannot be used, or the two disagree about ``node``.
        """
        private = _read_private(private_key_file)
        public = _read_public(public_keys_file)
        if node not in public:
            raise KeyFileError(f"{public_keys_file}: no key of this node, {node}")
        if public[node].public_bytes_raw() != private.public_key().public_bytes_raw():
            raise KeyFileError(f"{private_key_file}: is not the private half of {node} in {public_keys_file}")
        return cls(node, private, public)

    def sign(self, data: bytes) -> str:
        """Return the Ed25519 signature over ``data`` as unpadded base64url (86 characters)."""
        return base64.urlsafe_b64encode(self.private.sign(data)).rstrip(b"=").decode()

    def verify(self, node: NodeCode, data: bytes, signature: str) -> None:
        """Return if ``node`` signed ``data``.

        Raises:
            Refused: ``unknown-node`` or ``signature-invalid``.
        """
        key = self.public.get(node)
        if key is None:
            raise Refused("unknown-node", f"no public key of node {node[:12]}")
        try:
            raw = base64.b64decode(signature + "=" * (-len(signature) % 4), altchars=b"-_", validate=True)
            key.verify(raw, data)
        except (InvalidSignature, binascii.Error, ValueError):
            raise Refused("signature-invalid", f"not signed by node {node}") from None


def _read_private(path: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise KeyFileError(f"{path}: no private key: {error}; `wuji pki` makes one") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFileError(f"{path}: not an Ed25519 key")
    return key


def _read_public(path: Path) -> dict[NodeCode, Ed25519PublicKey]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8")).get("keys")
        if not isinstance(table, dict):
            raise ValueError("no [keys] table")
        return {NodeCode(code): _public(text) for code, text in table.items()}
    except (OSError, ValueError) as error:
        raise KeyFileError(f"{path}: no public keys: {error}") from None


def _public(text: object) -> Ed25519PublicKey:
    if not isinstance(text, str):
        raise ValueError("a key is base64 text of 32 bytes")
    return Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))
