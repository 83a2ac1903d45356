"""Names of classes for their indices, and back; reads ImageNet's synset files."""

import difflib
import re
from pathlib import Path

SYNSET = re.compile(r"(n\d{8})\s+(.+)")


class ClassMapper:
    """Names and indices of classes.

    Args:
        source: Path of a text file with a class a line, or a list of such lines.
            ``n01440764 tench, Tinca tinca`` is a synset id and its names; any other
            line is one name. The first line is class 0; blank lines do not count.

    Raises:
        ValueError: If there is no class.
    """

    def __init__(self, source):
        if isinstance(source, str | Path):
            lines = Path(source).read_text(encoding="utf-8").splitlines()
        else:
            lines = [str(line) for line in source]
        self._names = [_words(line.strip()) for line in lines if line.strip()]
        if not self._names:
            raise ValueError(
                "A class mapper needs one class or more. Received: none in "
                f"{source!r}. Give a list of names or a file with one a line."
            )

    def __len__(self) -> int:
        """Number of classes."""
        return len(self._names)

    def name(self, index: int) -> str:
        """First name of a class, without its synset id.

        Args:
            index: 0 to the number of classes - 1.

        Raises:
            ValueError: If there is no such class.
        """
        if not 0 <= index < len(self):
            raise ValueError(
                f"A class index lies in 0..{len(self) - 1}. Received: {index}."
            )
        words = self._names[index]
        return words[1] if len(words) > 1 else words[0]

    def index(self, name: str) -> int:
        """Index of the class with this synset id or name.

        Args:
            name: The id, or any of the names.

        Raises:
            ValueError: If no class has it, or several have.
        """
        found = [i for i, words in enumerate(self._names) if name in words]
        if len(found) == 1:
            return found[0]
        if found:
            ids = ", ".join(self._names[i][0] for i in found)
            raise ValueError(
                f"A name stands for one class. Received: {name!r}, which stands for "
                f"{len(found)}: {ids}. Use one of these."
            )
        known = [word for words in self._names for word in words]
        close = ", ".join(difflib.get_close_matches(str(name), known)) or known[0]
        raise ValueError(
            f"There is no class {name!r} among {len(self)}. Names like it: {close}."
        )


def _words(line: str) -> tuple[str, ...]:
    """Synset id and names of a line, or its one name."""
    synset = SYNSET.fullmatch(line)
    if synset is None:
        return (line,)
    return (synset[1], *(name.strip() for name in synset[2].split(",")))
