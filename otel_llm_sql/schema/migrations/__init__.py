"""Alembic's migrations, shipped in the package; `schema.versions.migrate` runs them."""
