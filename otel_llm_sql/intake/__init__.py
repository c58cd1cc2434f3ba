"""Anything that arrives becomes a neutral Signal here."""
