"""Files that callers upload: straight from the connection into the store."""
