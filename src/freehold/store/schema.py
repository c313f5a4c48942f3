"""Every table. Times are ISO 8601 texts in UTC and documents canonical JSON texts, so that SQLite
and PostgreSQL hold the same bytes; amounts are integer minor units, rates are decimal texts."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)

__all__ = [
    "HEAD",
    "allowances",
    "answers",
    "api_keys",
    "batch_chunks",
    "batches",
    "bundles",
    "canary_counts",
    "customers",
    "entries",
    "holds",
    "invoices",
    "limits",
    "metadata",
    "postings",
    "releases",
    "served",
    "shadow_counts",
    "stage_changes",
    "studies",
    "subscriptions",
    "topups",
    "trials",
    "usage_events",
    "versions",
]

HEAD = "0006"
"""The newest migration; a test holds it equal to Alembic's own head."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

# SQLite numbers rows by itself only where the column's type is exactly INTEGER.
_Big = BigInteger().with_variant(Integer, "sqlite")

versions = Table(
    "versions",
    metadata,
    Column("model", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("task", Text, nullable=False),
    Column("stage", Text, nullable=False),  # candidate, shadow, canary, live, retired
    Column("created_at", Text, nullable=False),
    Column("labels", Text, nullable=False),  # JSON list
    Column("lineage", Text, nullable=False),  # JSON: base, data, recipe, seed, parent
    Column("metrics", Text, nullable=False),  # JSON: score on dev, temperature, …
    Column("train_ms", _Big, nullable=False),  # wall time of training
    Column("examples", _Big, nullable=False),  # labelled examples learnt from
    Column("train_cost", Text, nullable=False),  # decimal, major units
    Column("label_cost", Text, nullable=False),  # decimal, major units
    Column("currency", Text, nullable=False),
    Column("files", Text, nullable=False),  # JSON: name -> {sha256, size}
    PrimaryKeyConstraint("model", "version"),
)

bundles = Table(
    "bundles",
    metadata,
    Column("id", _Big, primary_key=True, autoincrement=True),
    Column("model", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("engine", Text, nullable=False),
    Column("precision", Text, nullable=False),
    Column("report", Text, nullable=False),  # JSON
    Column("files", Text, nullable=False),  # JSON: name -> {sha256, size}
    Index("ix_bundles_of", "model", "version"),
)

stage_changes = Table(
    "stage_changes",
    metadata,
    Column("id", _Big, primary_key=True, autoincrement=True),
    Column("model", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("from_stage", Text, nullable=False),
    Column("to_stage", Text, nullable=False),
    Column("at", Text, nullable=False),
    # promote, rollback, shadow, canary, stop, auto-rollback, replaced, load, unload
    Column("reason", Text, nullable=False),
    Column("detail", Text),  # why, in a sentence
)

releases = Table(
    "releases",
    metadata,
    Column("id", _Big, primary_key=True, autoincrement=True),
    Column("model", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("kind", Text, nullable=False),  # shadow, canary, kept
    Column("against", Integer),  # the version that was live; none of what is only kept loaded
    Column("share", Integer, nullable=False),  # of a canary, in hundredths of a percent
    Column("customers", Text, nullable=False),  # JSON list: ids of those who get it in any case
    Column("sticky", Text, nullable=False),  # what the share is of: customer, key, request
    Column("rule", Text, nullable=False),  # JSON: when it is taken back by itself
    Column("started_at", Text, nullable=False),
    Column("ended_at", Text),
    Column("outcome", Text),  # why it ended, as in stage_changes
    Index("ix_releases_model", "model"),
)

canary_counts = Table(
    "canary_counts",
    metadata,
    Column("release_id", _Big, ForeignKey("releases.id"), nullable=False),
    Column("version", Integer, nullable=False),  # the canary, or the one that it is held against
    Column("server", Text, nullable=False),
    Column("minute", Text, nullable=False),  # YYYY-MM-DDTHH:MM
    Column("answers", _Big, nullable=False),
    Column("errors", _Big, nullable=False),  # requests that it failed, beside the answers
    Column("latencies", Text, nullable=False),  # JSON: from a request's head to its answer
    Column("batches", Text, nullable=False),  # JSON: time of a batch, by its tokens
    PrimaryKeyConstraint("release_id", "version", "server", "minute"),
)

shadow_counts = Table(
    "shadow_counts",
    metadata,
    Column("release_id", _Big, ForeignKey("releases.id"), nullable=False),
    Column("day", Text, nullable=False),  # YYYY-MM-DD
    Column("server", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("against", Integer, nullable=False),
    Column("runs", _Big, nullable=False),  # each of one request's texts
    Column("failed", _Big, nullable=False),  # runs that failed, beside those
    Column("inputs", _Big, nullable=False),
    Column("tokens", _Big, nullable=False),
    Column("compared", _Big, nullable=False),  # inputs whose answers were compared
    Column("agreed", _Big, nullable=False),  # of them, in millionths
    Column("compute_us", _Big, nullable=False),
    Column("live_compute_us", _Big, nullable=False),  # of the same inputs, by the live version
    PrimaryKeyConstraint("release_id", "day", "server"),
    Index("ix_shadow_counts_day", "day"),
)

studies = Table(
    "studies",
    metadata,
    Column("name", Text, primary_key=True),
    Column("model", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("settings", Text, nullable=False),  # JSON: data, recipe, space, pruner, seed
    Column("elapsed_ms", _Big, nullable=False),  # wall time of the search so far
    Column("version", Integer),  # of the model: what the search ended as
    Index("ix_studies_model", "model"),
)

trials = Table(
    "trials",
    metadata,
    Column("study", Text, ForeignKey("studies.name"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("state", Text, nullable=False),  # running, complete, pruned, cut, failed
    Column("knobs", Text, nullable=False),  # JSON: knob -> value
    Column("scores", Text, nullable=False),  # JSON list: on dev, after each epoch
    Column("started_at", Text, nullable=False),
    Column("ended_at", Text),
    Column("machine_ms", _Big, nullable=False),  # wall time x share of the machine that it held
    Column("cost", Text, nullable=False),  # decimal, major units
    Column("facts", Text, nullable=False),  # JSON: what the run said of itself; why it failed
    PrimaryKeyConstraint("study", "number"),
)

customers = Table(
    "customers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("created_at", Text, nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("customer_id", Text, ForeignKey("customers.id"), nullable=False, index=True),
    Column("prefix", Text, nullable=False),  # the part that may be shown
    Column("digest", Text, nullable=False, unique=True),  # sha256 of the whole key
    Column("created_at", Text, nullable=False),
    Column("revoked_at", Text),
    Column("models", Text),  # JSON list of MODEL or MODEL@VERSION; NULL: all
    Column("expires_at", Text),
    Column("replaced_by", Text),  # the key that it was rotated to
    Column("line", Text),  # the first key of those that were rotated to this one; NULL: itself
)

subscriptions = Table(
    "subscriptions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("customer_id", Text, ForeignKey("customers.id"), nullable=False, index=True),
    Column("plan", Text, nullable=False),
    Column("terms", Text, nullable=False),  # JSON: the plan as it was when it was taken
    Column("starts_at", Text, nullable=False),
    Column("ends_at", Text),  # exclusive
)

usage_events = Table(
    "usage_events",
    metadata,
    Column("id", _Big, primary_key=True, autoincrement=True),
    Column("customer_id", Text, ForeignKey("customers.id"), nullable=False),
    Column("request_id", Text, nullable=False, unique=True),
    Column("key_id", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("inputs", _Big, nullable=False),
    Column("tokens", _Big, nullable=False),
    Column("compute_us", _Big, nullable=False),  # its share of the batches' measured time
    Column("cached_inputs", _Big, nullable=False, server_default="0"),  # from the answer cache
    Column("cached_tokens", _Big, nullable=False, server_default="0"),
    Column("at", Text, nullable=False),
    Index("ix_usage_events_customer_at", "customer_id", "at"),
    Index("ix_usage_events_version", "model", "version"),
)

answers = Table(
    "answers",
    metadata,
    Column("customer_id", Text, nullable=False),
    Column("idempotency_key", Text, nullable=False),
    Column("payload_digest", Text, nullable=False),  # sha256 of path and body
    Column("request_id", Text, nullable=False, unique=True),
    Column("body", LargeBinary, nullable=False),  # the answer as it was sent
    Column("at", Text, nullable=False),
    PrimaryKeyConstraint("customer_id", "idempotency_key"),
)

served = Table(
    "served",
    metadata,
    Column("id", _Big, primary_key=True, autoincrement=True),
    Column("server", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("requests", _Big, nullable=False),
    Column("inputs", _Big, nullable=False),
    Column("tokens", _Big, nullable=False),
    Column("compute_us", _Big, nullable=False),
    Column("cached_inputs", _Big, nullable=False, server_default="0"),
    Column("cached_tokens", _Big, nullable=False, server_default="0"),
)

limits = Table(
    "limits",
    metadata,
    Column("owner", Text, nullable=False),  # a customer, or the first key of a line of keys
    Column("name", Text, nullable=False),  # requests_per_minute, tokens_per_minute, quota
    Column("size", _Big, nullable=False),  # 0: no limit
    Column("at", Text, nullable=False),
    PrimaryKeyConstraint("owner", "name"),
)

allowances = Table(
    "allowances",
    metadata,
    Column("id", Text, primary_key=True),
    Column("customer_id", Text, ForeignKey("customers.id"), nullable=False, index=True),
    Column("kind", Text, nullable=False),  # requests, tokens (a minute); quota; wallet
    Column("unit", Text, nullable=False),  # requests, inputs, tokens
    Column("period", Text, nullable=False),  # YYYY-MM of a quota
    Column("granted", _Big, nullable=False),  # a wallet's top-ups
    Column("used", _Big, nullable=False),  # settled with usage events
    Column("held", _Big, nullable=False),  # the sum of its holds
    Column("full_at", _Big, nullable=False),  # microseconds since 1970: when a bucket will be full
    CheckConstraint("used >= 0 AND held >= 0", name="counts"),
    CheckConstraint("kind <> 'wallet' OR used + held <= granted", name="wallet"),
)

holds = Table(
    "holds",
    metadata,
    Column("server", Text, nullable=False),
    Column("allowance", Text, ForeignKey("allowances.id"), nullable=False),
    Column("units", _Big, nullable=False),  # taken by the server, and neither used nor given back
    Column("expires_at", Text, nullable=False),  # a server that lives moves it on
    CheckConstraint("units >= 0", name="units"),
    PrimaryKeyConstraint("server", "allowance"),
    Index("ix_holds_expires_at", "expires_at"),
)

topups = Table(
    "topups",
    metadata,
    Column("id", _Big, primary_key=True, autoincrement=True),
    Column("customer_id", Text, ForeignKey("customers.id"), nullable=False),
    Column("key", Text, nullable=False),  # what was topped up, so that it is done once
    Column("unit", Text, nullable=False),
    Column("units", _Big, nullable=False),
    Column("paid_minor", _Big, nullable=False),
    Column("currency", Text, nullable=False),
    Column("at", Text, nullable=False),
    CheckConstraint("units > 0 AND paid_minor >= 0", name="amounts"),
    UniqueConstraint("customer_id", "key"),
)

batches = Table(
    "batches",
    metadata,
    Column("id", Text, primary_key=True),
    Column("customer_id", Text, ForeignKey("customers.id"), nullable=False),
    Column("key_id", Text, nullable=False),
    Column("idempotency_key", Text),
    Column("payload_digest", Text, nullable=False),  # sha256 of the model asked and the file
    Column("model", Text, nullable=False),
    Column("version", Integer, nullable=False),
    # receiving, queued, running, paused, done, failed, cancelled; removed: its texts are gone
    Column("status", Text, nullable=False),
    Column("reason", Text),  # why it is paused or failed
    Column("total", _Big, nullable=False),  # lines
    Column("done", _Big, nullable=False),
    Column("failed", _Big, nullable=False),
    Column("busy_us", _Big, nullable=False),
    Column("revision", _Big, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("started_at", Text),
    Column("ended_at", Text),
    Column("expires_at", Text),
    Column("moved_at", Text, nullable=False),  # of the last line answered
    Column("seen_at", Text, nullable=False),  # by a server that has its version loaded
    Column("turn_at", Text, nullable=False),  # not before; the least has the next turn
    Column("owner", Text),  # the server that works on it, until the lease ends
    Column("lease_until", Text),
    UniqueConstraint("customer_id", "idempotency_key"),
    Index("ix_batches_turn", "status", "turn_at"),
)

batch_chunks = Table(
    "batch_chunks",
    metadata,
    Column("batch", Text, ForeignKey("batches.id"), nullable=False),
    Column("first", _Big, nullable=False),  # of its lines, in the order of the batch, from 0
    Column("line", _Big, nullable=False),  # of that in the file, from 1
    Column("lines", Integer, nullable=False),
    Column("requests", LargeBinary),  # as they were sent; NULL once they are answered
    Column("answers", LargeBinary),  # JSONL, one a request
    PrimaryKeyConstraint("batch", "first"),
)

invoices = Table(
    "invoices",
    metadata,
    Column("id", _Big, primary_key=True, autoincrement=True),
    Column("number", Text, nullable=False, unique=True),
    Column("customer_id", Text, ForeignKey("customers.id"), nullable=False),
    Column("period", Text, nullable=False),  # YYYY-MM
    Column("sequence", Integer, nullable=False),  # 1, 2, … within the customer's period
    Column("kind", Text, nullable=False),  # interim, final
    Column("currency", Text, nullable=False),
    Column("net_minor", _Big, nullable=False),
    Column("tax_minor", _Big, nullable=False),
    Column("total_minor", _Big, nullable=False),
    Column("units", _Big, nullable=False),  # inputs newly covered by this invoice
    Column("document", Text, nullable=False),  # canonical JSON
    Column("digest", Text, nullable=False),  # sha256 of the document
    Column("closed_at", Text, nullable=False),
    UniqueConstraint("customer_id", "period", "sequence"),
)

entries = Table(
    "entries",
    metadata,
    Column("id", _Big, primary_key=True, autoincrement=True),
    Column("key", Text, nullable=False, unique=True),  # what was booked, so that it is booked once
    Column("at", Text, nullable=False),
    Column("description", Text, nullable=False),
)

postings = Table(
    "postings",
    metadata,
    Column("id", _Big, primary_key=True, autoincrement=True),
    Column("entry_id", _Big, ForeignKey("entries.id"), nullable=False, index=True),
    Column("account", Text, nullable=False, index=True),
    Column("customer_id", Text),
    Column("amount_minor", _Big, nullable=False),  # debit positive, credit negative
    Column("currency", Text, nullable=False),
    Column("units", _Big, nullable=False),  # inputs that the amount pays for
)
