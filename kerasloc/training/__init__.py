"""Training of every family: command lines, experiments, runs that resume."""
