"""The shape of the database: tables, views, versions and migrations."""
