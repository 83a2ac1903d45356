"""Problems in data: validation that lists all of them, raised or skipped."""

import contextlib
import logging
import re
import struct
import zlib
from collections.abc import Iterable, Iterator

DAMAGE = (  # what Pillow and pydicom raise on damaged files
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def damage_as_value_error(title: str = "", *more: type[Exception]) -> Iterator[None]:
    """Turn what a decoder raises on a damaged file into a ValueError of one line.

    Args:
        title: Start of the message.
        *more: Further types of errors.

    Examples:
        >>> with damage_as_value_error("damaged PNG file: "):
        ...     [][0]
        Traceback (most recent call last):
        ValueError: damaged PNG file: list index out of range
    """
    from PIL.Image import DecompressionBombError  # of a frame or tile

    types: tuple[type[Exception], ...] = (*DAMAGE, *more, DecompressionBombError)
    try:
        yield
    except types as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{title}{reason}") from error


def decoding_reason(error: Exception) -> str:
    """Return the line of an error of a decoder, TensorFlow's, too, that says why.

    Examples:
        >>> decoding_reason(ValueError("{{function_node A}} Invalid PNG. [Op:Decode]"))
        'Invalid PNG.'
    """
    message = getattr(error, "message", None) or str(error)
    message = re.sub(r"\{\{.*?\}\}\s*|\[Op:\w+\].*", "", message, flags=re.DOTALL)
    return (message.strip().splitlines() or [type(error).__name__])[0]


def check_choice(name: str, value: object, choices: Iterable[str]) -> None:
    """Validate the value of an argument that takes one of several words.

    Raises:
        ValueError: If ``value`` is not among ``choices``.

    Examples:
        >>> check_choice("on_error", "skip", ("raise", "skip"))
    """
    choices = tuple(choices)
    if value not in choices:
        raise ValueError(
            f"Expected {name} to be one of {', '.join(map(repr, choices))}. "
            f"Received: {value!r}."
        )


def check_on_error(on_error: str) -> None:
    """Raise a ValueError unless ``on_error`` is "raise" or "skip"."""
    check_choice("on_error", on_error, ("raise", "skip"))


def check_bits(bits: int | None) -> None:
    """Raise a ValueError unless ``bits`` of the levels of 16-bit files are 1 to 16."""
    if bits is not None and bits not in range(1, 17):
        raise ValueError(f"Expected bits from 1 to 16, or None. Received: {bits!r}.")


def report_problems(
    problems: Iterable[str],
    rule: str,
    on_error: str = "raise",
    remedy: str = 'Fix them, or skip them: --on-error skip (on_error="skip").',
) -> None:
    """Raise one error for all problems, or log a warning with their number.

    Args:
        problems: One text per problem; without any, nothing happens.
        rule: Violated rule, a sentence without its period.
        on_error: "raise", or "skip" for the warning.
        remedy: Advice at the end of the error, a sentence.

    Raises:
        ValueError: If there are problems and ``on_error`` is "raise".

    Examples:
        >>> report_problems([], "Expected every row to have an image")
        >>> report_problems(["line 3"], "Expected labels", remedy="Add them.")
        Traceback (most recent call last):
        ValueError: Expected labels. Received: 1 violation:
          line 3
        Add them.
    """
    problems = list(problems)
    if problems and on_error == "raise":
        count = f"{len(problems)} violation{'s' * (len(problems) > 1)}"
        raise ValueError(f"{rule}. Received: {count}:\n{listing(problems)}\n{remedy}")
    if problems:
        logger.warning("left out %d: %s\n%s", len(problems), rule, listing(problems))


def listing(problems: Iterable[str], limit: int = 10) -> str:
    """Format problems, one per line; above the limit, a last line counts the rest.

    Examples:
        >>> print(listing(["line 2", "line 5", "line 9"], limit=1))
          line 2
          ... and 2 more
    """
    problems = list(problems)
    more = len(problems) - limit
    rest = [f"... and {more} more"] * (more > 0)
    return "\n".join(f"  {line}" for line in problems[:limit] + rest)
