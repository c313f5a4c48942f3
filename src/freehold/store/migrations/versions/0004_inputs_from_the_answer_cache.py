"""How many inputs, and of how many tokens, came from the answer cache."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_Big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    for table in ("usage_events", "served"):
        for column in ("cached_inputs", "cached_tokens"):
            op.add_column(table, sa.Column(column, _Big, nullable=False, server_default="0"))
