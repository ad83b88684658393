"""theme documents with the default theme (contract 3.1, 4.2)"""

from __future__ import annotations

import uuid

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, UUID

revision = "0159_add_theme_docs"
down_revision = "0158_add_client_reference"
branch_labels = None
depends_on = None

NOW = sa.text("now()")


def upgrade() -> None:
    themes = op.create_table(
        "themes",
        sa.Column("id", UUID(as_uuid=True), primary_key=True),
        sa.Column("slug", sa.String(60), nullable=False, unique=True),
        sa.Column("tokens", JSONB, nullable=False),
        # The key into an older table is what keeps a restore over a live database from dropping it (contract 6.3).
        sa.Column("updated_by", UUID(as_uuid=True), sa.ForeignKey("users.id")),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=NOW),
    )
    op.bulk_insert(themes, [{
        "id": uuid.UUID("00000000-0000-4000-8000-000000000159"),
        "slug": "default",
        "tokens": {"color-primary": "#1f2937", "color-accent": "#b45309", "radius": "12px"},
    }])


def downgrade() -> None:
    op.drop_table("themes")
