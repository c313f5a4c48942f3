"""Brings a database's schema to the newest revision with Alembic."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, text

__all__ = ["config", "upgrade"]


def config() -> Config:
    """Alembic's configuration: our own migrations folder, no ini file."""
    settings = Config()
    settings.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    settings.set_main_option("path_separator", "os")
    return settings


def upgrade(engine: Engine) -> None:
    """Run every missing migration in one transaction; several processes may call it at once."""
    settings = config()
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.execute(text("SELECT pg_advisory_xact_lock(7261934)"))
        settings.attributes["connection"] = connection
        command.upgrade(settings, "head")
