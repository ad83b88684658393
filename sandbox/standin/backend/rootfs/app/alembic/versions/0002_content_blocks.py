"""content blocks with the seeded home page (contract 4.2)"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002_content_blocks"
down_revision = "0001_initial"
branch_labels = None
depends_on = None


def upgrade() -> None:
    table = op.create_table(
        "content_blocks",
        sa.Column("key", sa.String(120), primary_key=True),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("meta", JSONB, nullable=False, server_default="{}"),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.text("now()")),
    )
    sections = [{"id": name, "enabled": True} for name in ("hero", "featured_products", "story")]
    op.bulk_insert(table, [
        {"key": "home.sections", "title": "Home", "meta": {"sections": sections}},
        {"key": "page.terms", "title": "Terms", "meta": {}},
        {"key": "page.privacy", "title": "Privacy", "meta": {}},
        {"key": "site.navigation", "title": "Navigation", "meta": {"items": ["shop", "about"]}},
        {"key": "site.company", "title": "Company", "meta": {}},
    ])


def downgrade() -> None:
    op.drop_table("content_blocks")
