"""Pictures and tables that a run leaves behind."""

from kerasloc.training.runs import Run


def draw_history(run: Run):
    """Writes figures/history.png: the curves of the training."""
    from kerasloc.plotting import history

    rows = run.history
    if rows:
        history(rows).savefig(run.path("figures/history.png"), dpi=110)
