"""Password hashes, HMAC-signed tokens and TOTP, all derived from SECRET_KEY (contract 2.1, 3.3)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import struct
import time
from typing import Any

from cryptography.fernet import Fernet, InvalidToken

from app.core.config import settings

HASH_ROUNDS = 60_000


class TokenError(ValueError):
    """A token with a bad form, signature, type or expiry."""


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def hash_password(password: str) -> str:
    """Returns salt and digest. Over 72 bytes it raises, as the real hash does (contract 4.1)."""
    raw = password.encode()
    if len(raw) > 72:
        raise ValueError("password cannot be longer than 72 bytes")
    salt = secrets.token_bytes(16)
    digest = hashlib.pbkdf2_hmac("sha256", raw, salt, HASH_ROUNDS)
    return f"{_b64(salt)}${_b64(digest)}"


def verify_password(password: str, stored: str) -> bool:
    """Compares in constant time; a stored value of another form never matches."""
    salt, _, digest = stored.partition("$")
    if not digest:
        return False
    computed = hashlib.pbkdf2_hmac("sha256", password.encode(), _unb64(salt), HASH_ROUNDS)
    return hmac.compare_digest(_b64(computed), digest)


def sign(message: bytes) -> str:
    """Returns the URL-safe HMAC-SHA256 of a message under SECRET_KEY."""
    return _b64(hmac.new(settings.secret_key.encode(), message, hashlib.sha256).digest())


def create_token(subject: str, kind: str, lifetime_seconds: int) -> str:
    """Returns a JWT (HS256) for a user id."""
    now = int(time.time())
    header = _b64(json.dumps({"alg": "HS256", "typ": "JWT"}, separators=(",", ":")).encode())
    claims = {"sub": subject, "type": kind, "iat": now, "exp": now + lifetime_seconds, "jti": secrets.token_hex(8)}
    body = f"{header}.{_b64(json.dumps(claims, separators=(',', ':')).encode())}"
    return f"{body}.{sign(body.encode())}"


def create_access_token(subject: str) -> str:
    """Returns a bearer that the API accepts for the user with this UUID (contract 3.3)."""
    return create_token(subject, "access", settings.access_token_exp_minutes * 60)


def create_refresh_token(subject: str) -> str:
    """Returns a token that only /auth/refresh accepts."""
    return create_token(subject, "refresh", settings.refresh_token_exp_days * 86400)


def decode_token(token: str, kind: str) -> dict[str, Any]:
    """Returns the claims of a valid token of this kind or raises TokenError."""
    body, _, signature = token.rpartition(".")
    if not body or not hmac.compare_digest(sign(body.encode()), signature):
        raise TokenError("bad signature")
    try:
        claims = json.loads(_unb64(body.split(".")[1]))
    except (ValueError, IndexError) as error:
        raise TokenError("not a token") from error
    if claims.get("type") != kind or claims.get("exp", 0) < time.time():
        raise TokenError("expired or of another kind")
    return claims


def _fernet() -> Fernet:
    return Fernet(base64.urlsafe_b64encode(hashlib.sha256(settings.secret_key.encode()).digest()))


def encrypt_totp_secret(secret: str) -> str:
    """Encrypts a TOTP secret: losing SECRET_KEY breaks every enrolment (contract 2.1)."""
    return _fernet().encrypt(secret.encode()).decode()


def decrypt_totp_secret(stored: str) -> str | None:
    """Returns the secret, or None when it was stored under another SECRET_KEY."""
    try:
        return _fernet().decrypt(stored.encode()).decode()
    except InvalidToken:
        return None


def new_totp_secret() -> str:
    """Returns a base32 secret of 160 bits."""
    return base64.b32encode(secrets.token_bytes(20)).decode()


def totp_matches(secret: str, code: str) -> bool:
    """Checks a six-digit code (RFC 6238, SHA-1, 30 s) with one step of tolerance either way."""
    key = base64.b32decode(secret)
    step = int(time.time()) // 30
    for counter in (step - 1, step, step + 1):
        digest = hmac.new(key, struct.pack(">Q", counter), hashlib.sha1).digest()
        offset = digest[-1] & 15
        number = (struct.unpack(">I", digest[offset:offset + 4])[0] & 0x7FFFFFFF) % 1_000_000
        if hmac.compare_digest(f"{number:06d}", code.strip()):
            return True
    return False
