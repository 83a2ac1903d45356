"""Feature extractors that the model families share."""
