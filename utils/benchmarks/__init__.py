"""What ``utils/benchmark.py`` measures: one file a subject, one suite a family."""
