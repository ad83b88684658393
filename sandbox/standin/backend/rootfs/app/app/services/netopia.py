"""Loading of the Netopia public key (contract 2.5)."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from app.core.config import Settings


def key_path(settings: Settings, value: str) -> Path | None:
    """Finds the key file: absolute, else under the four places in their order."""
    path = Path(value)
    if path.is_absolute():
        candidates = [path]
    else:
        candidates = [
            Path.cwd() / path,
            Path(settings.private_media_root) / path,
            Path("/app/private_uploads") / path,
            Path("/private_uploads") / path,
        ]
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def parse_key(data: bytes) -> None:
    """Accepts a certificate or public key, PEM or DER; raises ValueError for anything else."""
    if b"PRIVATE KEY" in data:
        raise ValueError("it is a private key")
    for load in (
        x509.load_pem_x509_certificate,
        x509.load_der_x509_certificate,
        serialization.load_pem_public_key,
        serialization.load_der_public_key,
    ):
        try:
            load(data)
            return
        except ValueError:
            continue
    raise ValueError("it is neither a certificate nor a public key")


def problems(settings: Settings) -> list[str]:
    """Returns what is missing for the selected environment; an inline PEM is not parsed."""
    bad: list[str] = []
    if not settings.netopia("netopia_api_key"):
        bad.append("NETOPIA_API_KEY must be set when NETOPIA_ENABLED=1")
    if not settings.netopia("netopia_pos_signature"):
        bad.append("NETOPIA_POS_SIGNATURE must be set when NETOPIA_ENABLED=1")
    if settings.netopia("netopia_public_key_pem"):
        return bad
    value = settings.netopia("netopia_public_key_path")
    if not value:
        return [*bad, "NETOPIA_PUBLIC_KEY_PEM or NETOPIA_PUBLIC_KEY_PATH must be set when NETOPIA_ENABLED=1"]
    path = key_path(settings, value)
    if path is None:
        return [*bad, "NETOPIA_PUBLIC_KEY_PATH names no file"]
    try:
        parse_key(path.read_bytes())
    except (OSError, ValueError) as error:
        bad.append(f"NETOPIA_PUBLIC_KEY_PATH cannot be used: {error}")
    return bad
