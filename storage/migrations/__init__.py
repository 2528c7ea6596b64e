"""Alembic's scripts. For what storage.tables has beyond the last one: `python -m storage.migrations MESSAGE`."""
