"""Problems of data: raised together, or logged and skipped."""

import logging

logger = logging.getLogger(__name__)


def check_on_error(on_error: str) -> None:
    """Make sure that ``on_error`` is "raise" or "skip".

    Raises:
        ValueError: If not.
    """
    if on_error not in ("raise", "skip"):
        raise ValueError(f'on_error is "raise" or "skip". Received: {on_error!r}.')


def complain(problems, rule: str, on_error: str = "raise", way_out: str = "") -> None:
    """Raise the problems, or log how many there are and the first of them.

    Args:
        problems: Texts; none at all is fine.
        rule: What they break, a sentence without its period.
        on_error: "raise", or "skip" for a warning in the log.
        way_out: What else is to be done, a sentence.

    Raises:
        ValueError: If there are problems and they are not to be skipped.
    """
    problems = list(problems)
    if problems and on_error == "raise":
        raise ValueError(
            f"{rule}. Received: {len(problems)} that break this:\n{listing(problems)}\n"
            + (way_out or 'Mend them, or leave them out with on_error="skip".')
        )
    if problems:
        logger.warning("left out %d: %s\n%s", len(problems), rule, listing(problems))


def listing(problems, limit: int = 10) -> str:
    """The problems one a line, at most ``limit`` of them, and how many more.

    Args:
        problems: Texts.
        limit: How many are shown.
    """
    problems = list(problems)
    more = len(problems) - limit
    rest = [f"... and {more} more"] if more > 0 else []
    return "\n".join(f"  {line}" for line in problems[:limit] + rest)
