"""Scoped keys that expire; limits, allowances, what servers hold of them, and top-ups."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_Big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    with op.batch_alter_table("api_keys", schema=None) as batch_op:
        batch_op.add_column(sa.Column("models", sa.Text(), nullable=True))
        batch_op.add_column(sa.Column("expires_at", sa.Text(), nullable=True))
        batch_op.add_column(sa.Column("replaced_by", sa.Text(), nullable=True))
        batch_op.add_column(sa.Column("line", sa.Text(), nullable=True))

    op.create_table(
        "limits",
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("size", _Big, nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "name", name=op.f("pk_limits")),
    )
    op.create_table(
        "allowances",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("period", sa.Text(), nullable=False),
        sa.Column("granted", _Big, nullable=False),
        sa.Column("used", _Big, nullable=False),
        sa.Column("held", _Big, nullable=False),
        sa.Column("full_at", _Big, nullable=False),
        sa.CheckConstraint("used >= 0 AND held >= 0", name=op.f("ck_allowances_counts")),
        sa.CheckConstraint(
            "kind <> 'wallet' OR used + held <= granted", name=op.f("ck_allowances_wallet")
        ),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customers.id"], name=op.f("fk_allowances_customer_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_allowances")),
    )
    with op.batch_alter_table("allowances", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_allowances_customer_id"), ["customer_id"], unique=False
        )

    op.create_table(
        "holds",
        sa.Column("server", sa.Text(), nullable=False),
        sa.Column("allowance", sa.Text(), nullable=False),
        sa.Column("units", _Big, nullable=False),
        sa.Column("expires_at", sa.Text(), nullable=False),
        sa.CheckConstraint("units >= 0", name=op.f("ck_holds_units")),
        sa.ForeignKeyConstraint(["allowance"], ["allowances.id"], name=op.f("fk_holds_allowance")),
        sa.PrimaryKeyConstraint("server", "allowance", name=op.f("pk_holds")),
    )
    with op.batch_alter_table("holds", schema=None) as batch_op:
        batch_op.create_index("ix_holds_expires_at", ["expires_at"], unique=False)

    op.create_table(
        "topups",
        sa.Column("id", _Big, autoincrement=True, nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("units", _Big, nullable=False),
        sa.Column("paid_minor", _Big, nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.CheckConstraint("units > 0 AND paid_minor >= 0", name=op.f("ck_topups_amounts")),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customers.id"], name=op.f("fk_topups_customer_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_topups")),
        sa.UniqueConstraint("customer_id", "key", name=op.f("uq_topups_customer_id_key")),
    )
