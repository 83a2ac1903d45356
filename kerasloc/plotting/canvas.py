"""An empty figure to draw on, which a notebook shows without pyplot."""

import functools
import io


def new_figure(**options):
    """A matplotlib Figure that pyplot does not know: nothing has to be closed.

    By itself IPython shows the figures of pyplot only; this one answers when asked what
    it looks like.

    Args:
        **options: Of ``matplotlib.figure.Figure``, such as ``figsize``, in inches.

    Returns:
        The Figure; its ``_repr_png_()`` gives the bytes of a picture.
    """
    from matplotlib.figure import Figure

    figure = Figure(**options)
    figure._repr_png_ = functools.partial(_png, figure)
    return figure


def _png(figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=100)
    return file.getvalue()
