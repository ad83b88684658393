"""Demo data (contract 4.1): `python -m app.seeds --profile default|adrianaart`."""

from __future__ import annotations

import argparse
import asyncio
import uuid

from app.db import session

PROFILES = {
    "default": [("ceramic-mug", "Ceramic mug", 49), ("linen-tote", "Linen tote", 89), ("wax-candle", "Wax candle", 35)],
    "adrianaart": [("painted-stone", "Painted stone", 60), ("glass-angel", "Glass angel", 75)],
}
NAMESPACE = uuid.UUID("6f8c0a52-6a3e-4f0c-9a3c-0c5b3a1f4d10")


async def seed(profile: str) -> None:
    """Writes the rows of one profile; a second run changes nothing. Unknown profile: SystemExit."""
    if profile not in PROFILES:
        raise SystemExit(f"Unknown seed profile: {profile}")
    category = uuid.uuid5(NAMESPACE, profile)
    async with session.begin() as connection:
        await session.row(
            connection,
            "INSERT INTO categories (id, slug, name) VALUES (:id, :slug, :name) ON CONFLICT (id) DO NOTHING",
            id=category, slug=profile, name=profile.title(),
        )
        for slug, name, price in PROFILES[profile]:
            await session.row(
                connection,
                "INSERT INTO products (id, slug, name, price, category_id) VALUES (:id, :slug, :name, :price, :category) "
                "ON CONFLICT (id) DO NOTHING",
                id=uuid.uuid5(NAMESPACE, slug), slug=slug, name=name, price=price, category=category,
            )
    print(f"Seeded profile {profile}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="app.seeds")
    parser.add_argument("--profile", default="default")
    asyncio.run(seed(parser.parse_args().profile))
