"""The command line (contract 4.1): exit 0 done, 1 refused or crashed, 2 wrong usage; alone it prints help."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import uuid
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from app.core import security
from app.db import session
from app.seeds import seed

EXPORTED = {
    "users": ("id", "email", "username", "display_name", "role", "email_verified"),
    "categories": ("id", "slug", "name"),
    "products": ("id", "slug", "name", "price", "currency", "category_id", "publish_at"),
    "addresses": ("id", "user_id", "line1", "city"),
    "orders": ("id", "user_id", "status", "total_amount"),
}
UUID_COLUMNS = frozenset({"id", "category_id", "user_id"})


async def _username_is_free(connection: Any, username: str, user_id: uuid.UUID | None) -> None:
    other = await session.row(connection, "SELECT id FROM users WHERE username = :name", name=username)
    if other is not None and other["id"] != user_id:
        raise SystemExit("Username already taken")


async def bootstrap_owner(args: argparse.Namespace) -> None:
    """Creates the owner or makes the user with this email the owner; the password is always reset."""
    if len(args.password) < 12:
        print("Warning: short password", file=sys.stderr)
    hashed = security.hash_password(args.password)
    email = args.email.lower()
    async with session.begin() as connection:
        user = await session.row(connection, "SELECT id FROM users WHERE email = :email", email=email)
        await _username_is_free(connection, args.username, user["id"] if user else None)
        await session.row(
            connection, "UPDATE users SET role = 'admin' WHERE role = 'owner' AND email <> :email", email=email
        )
        values = {"email": email, "username": args.username, "name": args.display_name, "password": hashed}
        if user is None:
            await session.row(
                connection,
                "INSERT INTO users (id, email, username, display_name, hashed_password, role, email_verified) "
                "VALUES (:id, :email, :username, :name, :password, 'owner', true)",
                id=uuid.uuid4(), **values,
            )
        else:
            await session.row(
                connection,
                "UPDATE users SET username = :username, display_name = :name, hashed_password = :password, "
                "role = 'owner', email_verified = true WHERE email = :email",
                **values,
            )
    print(f"{'Owner set' if user else 'Owner created'}: {email}")


async def repair_owner(args: argparse.Namespace) -> None:
    """Edits the existing owner."""
    changes: dict[str, Any] = {}
    if args.email:
        changes["email"] = args.email.lower()
    if args.username:
        changes["username"] = args.username
    if args.display_name:
        changes["display_name"] = args.display_name
    if args.password:
        changes["hashed_password"] = security.hash_password(args.password)
    if args.verify_email:
        changes["email_verified"] = True
    async with session.begin() as connection:
        owner = await session.row(connection, "SELECT id FROM users WHERE role = 'owner'")
        if owner is None:
            raise SystemExit("No owner found; run bootstrap-owner first")
        if args.username:
            await _username_is_free(connection, args.username, owner["id"])
        if changes:
            assignments = ", ".join(f"{column} = :{column}" for column in changes)
            await session.row(connection, f"UPDATE users SET {assignments} WHERE id = :id", id=owner["id"], **changes)
    print("Owner repaired")


def bare_name(value: str) -> Path:
    """Returns the file in the working directory; any other directory is refused."""
    if Path(value).name != value or value in ("", ".", ".."):
        raise SystemExit("Only a file name in the current directory is allowed")
    return Path.cwd() / value


def plain(value: Any) -> Any:
    """Turns a column's value into what JSON can carry."""
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    return str(value) if isinstance(value, uuid.UUID) else value


async def export_data(args: argparse.Namespace) -> None:
    """Writes five tables as JSON. Not a backup (contract 4.1)."""
    path = bare_name(args.output)
    data: dict[str, list[dict[str, Any]]] = {}
    async with session.begin() as connection:
        for table, columns in EXPORTED.items():
            found = await session.rows(connection, f"SELECT {', '.join(columns)} FROM {table} ORDER BY id")
            data[table] = [{key: plain(value) for key, value in item.items()} for item in found]
    path.write_text(json.dumps(data, indent=2), encoding="utf-8")
    print(f"Exported to {path.name}")


async def import_data(args: argparse.Namespace) -> None:
    """Upserts by id in one transaction. A text bound to publish_at fails, as in the real one (contract 4.1)."""
    data = json.loads(bare_name(args.input).read_text(encoding="utf-8"))
    async with session.begin() as connection:
        for table, columns in EXPORTED.items():
            for item in data.get(table, []):
                values = {
                    column: uuid.UUID(item[column]) if column in UUID_COLUMNS and item[column] else item[column]
                    for column in columns
                }
                names = list(columns)
                if table == "users":
                    names.append("hashed_password")
                    values["hashed_password"] = security.hash_password("placeholder")
                updates = ", ".join(f"{column} = excluded.{column}" for column in columns if column != "id")
                await session.row(
                    connection,
                    f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join(':' + name for name in names)}) "
                    f"ON CONFLICT (id) DO UPDATE SET {updates}",
                    **values,
                )
    print("Imported")


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser of all subcommands."""
    parser = argparse.ArgumentParser(prog="app.cli")
    commands = parser.add_subparsers(dest="command")
    bootstrap = commands.add_parser("bootstrap-owner")
    for flag in ("--email", "--password", "--username", "--display-name"):
        bootstrap.add_argument(flag, required=True)
    repair = commands.add_parser("repair-owner")
    for flag in ("--email", "--password", "--username", "--display-name"):
        repair.add_argument(flag)
    repair.add_argument("--verify-email", action="store_true")
    commands.add_parser("export-data").add_argument("--output", default="export.json")
    commands.add_parser("import-data").add_argument("--input", required=True)
    commands.add_parser("seed-data").add_argument("--profile", default="default")
    return parser


async def run(args: argparse.Namespace) -> None:
    """Runs one subcommand."""
    if args.command == "seed-data":
        await seed(args.profile)
        return
    await {
        "bootstrap-owner": bootstrap_owner,
        "repair-owner": repair_owner,
        "export-data": export_data,
        "import-data": import_data,
    }[args.command](args)


if __name__ == "__main__":
    arguments_parser = build_parser()
    arguments = arguments_parser.parse_args()
    if arguments.command is None:
        arguments_parser.print_help()
    else:
        asyncio.run(run(arguments))
