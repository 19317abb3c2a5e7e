"""Source and sink of PostgreSQL tables."""
