"""Results on disk: one JSON line each, read and written in one place."""
