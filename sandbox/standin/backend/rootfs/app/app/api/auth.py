"""Accounts (contract 3.3)."""

from __future__ import annotations

import uuid
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from pydantic import BaseModel, Field
from sqlalchemy.exc import IntegrityError

from app.core import security
from app.core.config import settings
from app.core.dependencies import client_ip, current_user
from app.db import session
from app.services import captcha, ratelimit

router = APIRouter(prefix="/auth")

COOKIE_PATH = "/api/v1/auth"


class Login(BaseModel):
    """Credentials; either of the two names of the account."""

    email: str | None = None
    identifier: str | None = None
    password: str
    remember: bool = False
    captcha_token: str | None = None


class Registration(BaseModel):
    """A new customer."""

    email: str = Field(..., max_length=255, regex=r"^[^@\s]+@[^@\s]+$")
    username: str = Field(..., min_length=3, max_length=64)
    password: str = Field(..., min_length=8, max_length=72)
    display_name: str = Field("", max_length=120)
    captcha_token: str | None = None


class Refresh(BaseModel):
    """The token may also come in the cookie."""

    refresh_token: str | None = None


class TwoFactorLogin(BaseModel):
    """The second step of a login."""

    two_factor_token: str
    code: str


class TwoFactorSetup(BaseModel):
    """Asks for a new TOTP secret."""

    password: str


class TwoFactorEnable(BaseModel):
    """Proves that the secret arrived."""

    code: str


def shown(user: dict[str, Any]) -> dict[str, Any]:
    """Returns what a client may see of a user."""
    keys = ("id", "email", "username", "display_name", "role", "email_verified", "created_at")
    return {key: user[key] for key in keys}


def issue(user: dict[str, Any], response: Response) -> dict[str, Any]:
    """Returns a pair of tokens and sets the refresh cookie."""
    refresh = security.create_refresh_token(str(user["id"]))
    response.set_cookie(
        "refresh_token", refresh, max_age=settings.refresh_token_exp_days * 86400, path=COOKIE_PATH,
        httponly=True, secure=settings.secure_cookies, samesite=settings.cookie_samesite.lower(),
    )
    return {
        "access_token": security.create_access_token(str(user["id"])),
        "refresh_token": refresh,
        "token_type": "bearer",
    }


async def _by_id(user_id: str) -> dict[str, Any] | None:
    async with session.begin() as connection:
        return await session.row(connection, "SELECT * FROM users WHERE id = :id", id=uuid.UUID(user_id))


@router.post("/login")
async def login(body: Login, response: Response) -> dict[str, Any]:
    """Password login. The limit is global, all clients together (contract 10)."""
    await ratelimit.check("auth:login", "global", settings.auth_rate_limit_login, 60)
    captcha.require(body.captcha_token)
    name = (body.email or body.identifier or "").strip().lower()
    async with session.begin() as connection:
        user = await session.row(
            connection, "SELECT * FROM users WHERE lower(email) = :name OR lower(username) = :name", name=name
        )
    if user is None or not security.verify_password(body.password, user["hashed_password"]):
        raise HTTPException(401, "Invalid credentials")
    if user["totp_enabled"]:
        token = security.create_token(str(user["id"]), "two_factor", 300)
        return {"user": shown(user), "requires_two_factor": True, "two_factor_token": token}
    return {"user": shown(user), "tokens": issue(user, response)}


@router.post("/passkeys/login/options")
async def passkey_options() -> dict[str, Any]:
    """Begins a login by passkey. It counts as a login, and anybody may ask (contract 10)."""
    await ratelimit.check("auth:login", "global", settings.auth_rate_limit_login, 60)
    return {"challenge": uuid.uuid4().hex, "rpId": settings.frontend_origin.removeprefix("https://")}


@router.post("/login/2fa")
async def login_two_factor(body: TwoFactorLogin, response: Response) -> dict[str, Any]:
    """Completes a login with a TOTP code."""
    await ratelimit.check("auth:login:2fa", "global", settings.auth_rate_limit_two_factor, 60)
    try:
        user = await _by_id(security.decode_token(body.two_factor_token, "two_factor")["sub"])
    except security.TokenError:
        raise HTTPException(401, "Invalid two-factor token") from None
    secret = security.decrypt_totp_secret(user["totp_secret"]) if user and user["totp_secret"] else None
    if user is None or secret is None or not security.totp_matches(secret, body.code):
        raise HTTPException(401, "Invalid two-factor code")
    return {"user": shown(user), "tokens": issue(user, response)}


@router.post("/register", status_code=201)
async def register(body: Registration, request: Request, response: Response) -> dict[str, Any]:
    """Adds a customer."""
    await ratelimit.check("auth:register", client_ip(request) or "-", settings.auth_rate_limit_register, 60)
    captcha.require(body.captcha_token)
    try:
        async with session.begin() as connection:
            user = await session.row(
                connection,
                "INSERT INTO users (id, email, username, display_name, hashed_password) "
                "VALUES (:id, :email, :username, :name, :password) RETURNING *",
                id=uuid.uuid4(), email=body.email.lower(), username=body.username,
                name=body.display_name or body.username, password=security.hash_password(body.password),
            )
    except IntegrityError:
        raise HTTPException(400, "Email or username already registered") from None
    assert user is not None
    return {"user": shown(user), "tokens": issue(user, response)}


@router.post("/refresh")
async def refresh(request: Request, response: Response, body: Refresh | None = None) -> dict[str, Any]:
    """Trades a refresh token for a new pair. The limit is global (contract 10)."""
    await ratelimit.check("auth:refresh", "global", settings.auth_rate_limit_refresh, 60)
    token = (body.refresh_token if body else None) or request.cookies.get("refresh_token", "")
    try:
        user = await _by_id(security.decode_token(token, "refresh")["sub"])
    except security.TokenError:
        raise HTTPException(401, "Invalid refresh token") from None
    if user is None:
        raise HTTPException(401, "Invalid refresh token")
    return issue(user, response)


@router.get("/me")
async def me(user: dict[str, Any] = Depends(current_user)) -> dict[str, Any]:
    """The user of the bearer."""
    return shown(user)


@router.post("/me/2fa/setup")
async def two_factor_setup(body: TwoFactorSetup, user: dict[str, Any] = Depends(current_user)) -> dict[str, str]:
    """Creates a TOTP secret; works without prior MFA, so that a fresh owner can enrol."""
    if not security.verify_password(body.password, user["hashed_password"]):
        raise HTTPException(400, "Invalid password")
    secret = security.new_totp_secret()
    async with session.begin() as connection:
        await session.row(
            connection, "UPDATE users SET totp_secret = :secret, totp_enabled = false WHERE id = :id",
            secret=security.encrypt_totp_secret(secret), id=user["id"],
        )
    label = quote(f"{settings.site_name}:{user['email']}")
    return {"secret": secret, "otpauth_url": f"otpauth://totp/{label}?secret={secret}&issuer={quote(settings.site_name)}"}


@router.post("/me/2fa/enable")
async def two_factor_enable(body: TwoFactorEnable, user: dict[str, Any] = Depends(current_user)) -> dict[str, list[str]]:
    """Switches TOTP on and returns recovery codes."""
    secret = security.decrypt_totp_secret(user["totp_secret"]) if user["totp_secret"] else None
    if secret is None or not security.totp_matches(secret, body.code):
        raise HTTPException(400, "Invalid two-factor code")
    async with session.begin() as connection:
        await session.row(connection, "UPDATE users SET totp_enabled = true WHERE id = :id", id=user["id"])
    return {"recovery_codes": [security.sign(f"{secret}{number}".encode())[:10] for number in range(8)]}
