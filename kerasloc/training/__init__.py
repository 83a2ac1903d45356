"""Training runs that resume, and the evaluation of what they made."""
