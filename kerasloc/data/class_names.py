"""Names of classes: their indices, their spellings, and the nearest valid name."""

import difflib
import logging
import os
import re
from collections.abc import Iterable, Mapping, Sequence

from kerasloc.data.problems import report_problems
from kerasloc.io import read_text

SYNSET = re.compile(r"(n\d{8})\s+(.+)")
ALIASES = {
    "infiltrate": "infiltration",
    "enlargcardiomediastinum": "enlargedcardiomediastinum",
}

logger = logging.getLogger(__name__)


class ClassMapper:
    """Names and indices of classes; reads the synset files of ImageNet.

    Args:
        source: Path of a text file with a class a line, or a sequence of such lines.
            ``n01440764 tench, Tinca tinca`` is a synset id and its names; any other
            line is one name. The first line is class 0; blank lines do not count.

    Raises:
        ValueError: If there is no class.

    Examples:
        >>> mapper = ClassMapper(["n01440764 tench, Tinca tinca", "cat"])
        >>> mapper.name(0), mapper.index("Tinca tinca"), len(mapper)
        ('tench', 0, 2)
    """

    def __init__(self, source: str | os.PathLike[str] | Iterable[str]):
        if isinstance(source, str | os.PathLike):
            lines = read_text(source).splitlines()
        else:
            lines = [str(line) for line in source]
        self._names = [_split_synset(line.strip()) for line in lines if line.strip()]
        if not self._names:
            raise ValueError(
                f"Expected one class or more in source. Received: none in {source!r}. "
                "Use a list of names, or a file with one per line."
            )

    def __len__(self) -> int:
        return len(self._names)

    def name(self, index: int) -> str:
        """Return the first name of a class, without its synset id.

        Raises:
            ValueError: If there is no such class.
        """
        if not 0 <= index < len(self):
            raise ValueError(
                f"Expected a class index in 0..{len(self) - 1}. Received: {index}."
            )
        return self._names[index][:2][-1]

    def index(self, name: str) -> int:
        """Return the index of the class with this synset id or name.

        Raises:
            ValueError: If no class has it, or several have.
        """
        matches = [i for i, names in enumerate(self._names) if name in names]
        if len(matches) == 1:
            return matches[0]
        names = [word for words in self._names for word in words]
        close = difflib.get_close_matches(str(name), names) or names[:1]
        choices = [self._names[i][0] for i in matches] or close
        raise ValueError(
            f"Expected the name of one of {len(self)} classes. Received: {name!r}, "
            f"which {len(matches)} have. Use one of {', '.join(choices)}."
        )


def split_names(text: str) -> tuple[str, ...]:
    """Split names with ", " between them.

    Examples:
        >>> split_names("cat, wild dog")
        ('cat', 'wild dog')
    """
    return tuple(text.split(", "))


def spelling(name: str) -> str:
    """Reduce a name to what counts: no case, blanks, underscores or typical slips.

    Examples:
        >>> spelling("Pleural_Thickening") == spelling("pleural thickening")
        True
    """
    key = "".join(letter for letter in name.casefold() if letter.isalnum())
    return ALIASES.get(key, key) or name.strip()


def with_nearest(name: str, valid: Iterable[str]) -> str:
    """Format an invalid name with the most similar of one or more valid ones.

    Examples:
        >>> with_nearest("Pleural Thickning", ["Mass", "Pleural_Thickening"])
        "'Pleural Thickning' (nearest: Pleural_Thickening)"
    """
    by_key = {spelling(valid_name): valid_name for valid_name in valid}
    (key,) = difflib.get_close_matches(spelling(name), by_key, n=1, cutoff=0)
    return f"{name!r} (nearest: {by_key[key]})"


def match_names(
    counts: Mapping[str, int], valid: Sequence[str], source: object
) -> dict[str, str]:
    """Map written names to valid ones; renamings are logged with their counts.

    Raises:
        ValueError: If a name is not valid in any spelling; lists the nearest.

    Examples:
        >>> match_names({"Mass": 1}, ["Mass", "Hernia"], "BBoxes.json")
        {'Mass': 'Mass'}
    """
    by_key = {spelling(name): name for name in valid}
    unknown = sorted(name for name in counts if spelling(name) not in by_key)
    nearest = [with_nearest(name, valid) for name in unknown]
    rule = f"Expected the classes of {source} among {', '.join(valid)}"
    report_problems(nearest, rule, remedy="Rename or remove them.")
    matches = {name: by_key[spelling(name)] for name in counts}
    for name, match in matches.items():
        if name != match:
            message = "%s: %r is read as %r, %d times"
            logger.warning(message, source, name, match, counts[name])
    return matches


def choose_names(class_names: Iterable[str], valid: Sequence[str]) -> tuple[str, ...]:
    """Validate the classes that a caller selects.

    Raises:
        ValueError: If a class is not valid; lists the nearest.
    """
    names = tuple(class_names)
    invalid = [with_nearest(name, valid) for name in names if name not in valid]
    rule = f"Expected class_names among {', '.join(valid)}"
    report_problems(invalid, rule, remedy="Use these spellings.")
    return names


def _split_synset(line: str) -> tuple[str, ...]:
    """Synset id and names of a line, or its only name."""
    synset = SYNSET.fullmatch(line)
    if synset is None:
        return (line,)
    return (synset[1], *(name.strip() for name in synset[2].split(",")))
