"""Runs migrations on PostgreSQL through the service's own settings and driver."""

import asyncio
import sys

import asyncpg
from alembic import context
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from app.core.settings import SettingsError, read_settings
from app.models import metadata

LOCK_TIMEOUT = "5s"
STATEMENT_TIMEOUT = "15min"
ADVISORY_LOCK = 7_228_001_001  # any constant of ours: two migrations at once wait for each other


def _configure_and_run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=metadata, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()


async def _migrate(url: str) -> None:
    engine = create_async_engine(url, poolclass=NullPool, connect_args={"timeout": 5})
    try:
        async with engine.connect() as connection:
            await connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": ADVISORY_LOCK})
            await connection.execute(text(f"SET lock_timeout = '{LOCK_TIMEOUT}'"))
            await connection.execute(text(f"SET statement_timeout = '{STATEMENT_TIMEOUT}'"))
            await connection.commit()
            await connection.run_sync(_configure_and_run)
            await connection.commit()
    finally:
        await engine.dispose()


def run() -> None:
    """Run what the alembic command asked for; without a database, one line and exit code 1."""
    try:
        url = context.config.attributes.get("database_url") or read_settings().database_url
        asyncio.run(_migrate(url))
    except SettingsError as error:
        sys.exit(f"novahouse: {error}")
    except (OSError, asyncpg.PostgresConnectionError, asyncpg.CannotConnectNowError, TimeoutError) as error:
        sys.exit(f"novahouse: PostgreSQL does not answer at DATABASE_URL: {type(error).__name__}")
    except DBAPIError as error:
        if error.connection_invalidated:
            sys.exit("novahouse: PostgreSQL went away during the migration; what was finished is kept, run it again")
        raise


if context.is_offline_mode():
    sys.exit("novahouse: offline migrations are not supported, the revisions need a live server")
run()
