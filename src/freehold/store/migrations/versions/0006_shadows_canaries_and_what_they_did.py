"""Shadows, canaries and what they did."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_Big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("stage_changes", sa.Column("detail", sa.Text(), nullable=True))

    op.create_table(
        "releases",
        sa.Column("id", _Big, autoincrement=True, nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("against", sa.Integer(), nullable=True),
        sa.Column("share", sa.Integer(), nullable=False),
        sa.Column("customers", sa.Text(), nullable=False),
        sa.Column("sticky", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("started_at", sa.Text(), nullable=False),
        sa.Column("ended_at", sa.Text(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_releases")),
    )
    with op.batch_alter_table("releases", schema=None) as batch_op:
        batch_op.create_index("ix_releases_model", ["model"], unique=False)

    op.create_table(
        "canary_counts",
        sa.Column("release_id", _Big, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("server", sa.Text(), nullable=False),
        sa.Column("minute", sa.Text(), nullable=False),
        sa.Column("answers", _Big, nullable=False),
        sa.Column("errors", _Big, nullable=False),
        sa.Column("latencies", sa.Text(), nullable=False),
        sa.Column("batches", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["release_id"], ["releases.id"], name=op.f("fk_canary_counts_release_id")
        ),
        sa.PrimaryKeyConstraint(
            "release_id", "version", "server", "minute", name=op.f("pk_canary_counts")
        ),
    )

    op.create_table(
        "shadow_counts",
        sa.Column("release_id", _Big, nullable=False),
        sa.Column("day", sa.Text(), nullable=False),
        sa.Column("server", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("against", sa.Integer(), nullable=False),
        sa.Column("runs", _Big, nullable=False),
        sa.Column("failed", _Big, nullable=False),
        sa.Column("inputs", _Big, nullable=False),
        sa.Column("tokens", _Big, nullable=False),
        sa.Column("compared", _Big, nullable=False),
        sa.Column("agreed", _Big, nullable=False),
        sa.Column("compute_us", _Big, nullable=False),
        sa.Column("live_compute_us", _Big, nullable=False),
        sa.ForeignKeyConstraint(
            ["release_id"], ["releases.id"], name=op.f("fk_shadow_counts_release_id")
        ),
        sa.PrimaryKeyConstraint("release_id", "day", "server", name=op.f("pk_shadow_counts")),
    )
    with op.batch_alter_table("shadow_counts", schema=None) as batch_op:
        batch_op.create_index("ix_shadow_counts_day", ["day"], unique=False)
