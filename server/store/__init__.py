"""Calls kept in a database: the writer of their log, its reading, and what is put right after a crash.

Only ``tables``, ``database``, ``reading``, ``nodes`` and ``migrate`` know SQLAlchemy, and are imported where a database
is used.
"""
