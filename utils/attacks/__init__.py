"""Weight files that attack their reader."""
