"""a reference chosen by the client, unique when given"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0158_add_client_reference"
down_revision = "0157_support_newsletter_lockers"
branch_labels = None
depends_on = None

TABLES = ("support_messages", "newsletter_subscribers")


def upgrade() -> None:
    for table in TABLES:
        op.add_column(table, sa.Column("client_reference", sa.String(100), unique=True))


def downgrade() -> None:
    for table in TABLES:
        op.drop_column(table, "client_reference")
