"""Who may call what (contract 3.4, 10)."""

from __future__ import annotations

import hmac
import ipaddress
import uuid
from typing import Any, Awaitable, Callable

from fastapi import HTTPException, Request

from app.core import security
from app.core.config import settings
from app.db import session

User = dict[str, Any]

SECTIONS = {
    "ops": frozenset({"owner", "admin"}),
    "content": frozenset({"owner", "admin", "content"}),
    "dashboard": frozenset({"owner", "admin", "content", "support", "fulfillment"}),
}


class CodedError(Exception):
    """A refusal with a machine-readable code beside the detail."""

    def __init__(self, status: int, detail: str, code: str) -> None:
        super().__init__(detail)
        self.status, self.detail, self.code = status, detail, code


def client_ip(request: Request) -> str | None:
    """Returns the peer as the server reports it after its own proxy handling."""
    return request.client.host if request.client else None


def admin_ip(request: Request) -> str | None:
    """Returns the address that the admin lists see.

    ADMIN_IP_HEADER is trusted blindly and of X-Forwarded-For the first element counts (contract 10).
    """
    header = settings.admin_ip_header
    if header:
        value = request.headers.get(header, "").strip()
        if header.lower() == "x-forwarded-for":
            value = value.split(",")[0].strip()
        if value:
            return value
    return client_ip(request)


def _in(address: str | None, networks: list[str]) -> bool:
    try:
        parsed = ipaddress.ip_address(address or "")
        return any(parsed in ipaddress.ip_network(item, strict=False) for item in networks)
    except ValueError:
        return False


def check_admin_ip(request: Request) -> None:
    """Applies the lists; a matching X-Admin-IP-Bypass skips them."""
    if not settings.admin_ip_allowlist and not settings.admin_ip_denylist:
        return
    token = settings.admin_ip_bypass_token
    if token and hmac.compare_digest(request.headers.get("X-Admin-IP-Bypass", "").encode(), token.encode()):
        return
    address = admin_ip(request)
    if _in(address, settings.admin_ip_denylist):
        raise CodedError(403, "Admin access is denied for this address", "admin_ip_denied")
    if settings.admin_ip_allowlist and not _in(address, settings.admin_ip_allowlist):
        raise CodedError(403, "Admin access is not allowed from this address", "admin_ip_not_allowed")


async def current_user(request: Request) -> User:
    """Returns the user of the bearer token: signature, expiry and existence are checked."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise HTTPException(401, "Not authenticated", headers={"WWW-Authenticate": "Bearer"})
    try:
        user_id = uuid.UUID(security.decode_token(token, "access")["sub"])
    except (security.TokenError, ValueError, KeyError):
        raise HTTPException(401, "Invalid token", headers={"WWW-Authenticate": "Bearer"}) from None
    async with session.begin() as connection:
        user = await session.row(connection, "SELECT * FROM users WHERE id = :id", id=user_id)
    if user is None:
        raise HTTPException(401, "User not found", headers={"WWW-Authenticate": "Bearer"})
    return user


def _check_mfa(user: User) -> None:
    if settings.admin_mfa_required and user["role"] in ("owner", "admin") and not user["totp_enabled"]:
        raise CodedError(403, "Two-factor authentication is required for admin access", "admin_mfa_required")


async def require_admin(request: Request) -> User:
    """Owner or admin with MFA; the address lists do not apply here (contract 3.4)."""
    user = await current_user(request)
    if user["role"] not in ("owner", "admin"):
        raise HTTPException(403, "Admin access required")
    _check_mfa(user)
    return user


def require_section(section: str) -> Callable[[Request], Awaitable[User]]:
    """Returns a dependency for one of the three sections; the role `content` needs no MFA."""

    async def dependency(request: Request) -> User:
        user = await current_user(request)
        if user["role"] not in SECTIONS[section]:
            raise HTTPException(403, "Not enough permissions")
        check_admin_ip(request)
        _check_mfa(user)
        return user

    return dependency
