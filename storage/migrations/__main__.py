"""Write a migration: what storage.tables has and the migrations so far do not."""

from __future__ import annotations

import sys
import tempfile

import sqlalchemy as sa
from alembic import command
from alembic.script import ScriptDirectory

from storage.migrate import config, migrate


def main(message: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        url = f"sqlite:///{directory}/new.db"
        migrate(url)
        with sa.create_engine(url).connect() as db:
            settings = config(db)
            number = len(list(ScriptDirectory.from_config(settings).walk_revisions())) + 1
            command.revision(settings, message, autogenerate=True, rev_id=f"{number:04d}")


if __name__ == "__main__":
    main(sys.argv[1])
