"""A token issuer, built on a JOSE implementation that is not ours (PyJWT and cryptography)."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

NAME = "https://issuer.example"
"""The `iss` of its tokens."""

LIFETIME_SECONDS = 600


class Issuer:
    """One issuer with one key."""

    def __init__(self, algorithm: str = "ES256", name: str = NAME, key_id: str = "key-1") -> None:
        self.algorithm = algorithm
        self.name = name
        self.key_id = key_id
        self._key: Any = _generate(algorithm)

    def token(self, subject: str, audience: str, **changes: Any) -> str:
        """A token; `changes` replace claims, `None` leaves one out."""
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": self.name,
            "sub": subject,
            "aud": audience,
            "iat": now,
            "exp": now + LIFETIME_SECONDS,
        }
        claims |= changes
        claims = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(claims, self._key, self.algorithm, {"kid": self.key_id})

    def public_key(self) -> dict[str, Any]:
        """The public key as a JSON Web Key."""
        algorithm = jwt.get_algorithm_by_name(self.algorithm)
        key: dict[str, Any] = json.loads(algorithm.to_jwk(self._key.public_key()))
        # PyJWT names private uses such as `verify` in it, which concern nobody else.
        key.pop("key_ops", None)
        return key | {"kid": self.key_id, "use": "sig", "alg": self.algorithm}


def write_key_set(path: Path, *issuers: Issuer) -> None:
    """Writes the public keys of issuers as a JSON Web Key Set."""
    path.write_text(json.dumps({"keys": [issuer.public_key() for issuer in issuers]}))


def _generate(algorithm: str) -> Any:
    if algorithm.startswith(("RS", "PS")):
        return rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key(ec.SECP384R1() if algorithm == "ES384" else ec.SECP256R1())
