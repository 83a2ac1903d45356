"""Trained models in a comparison: their names, images and folders."""

import dataclasses
import os
import pathlib
from collections.abc import Sequence

from kerasloc.data.table import Table
from kerasloc.evaluation.configs import DrawnSamples
from kerasloc.evaluation.samples import draw_samples, table_of_run
from kerasloc.localizers import Localizer
from kerasloc.localizers.loading import load_wrapper, newest_run


@dataclasses.dataclass(frozen=True, eq=False)
class ComparedModel:
    """A trained model in a comparison.

    Attributes:
        name: Name in tables: the family, FAMILY/RUN, or the path, as short as differs.
        path: Run folder or weight file.
        wrapper: Wrapper of the model.
    """

    name: str
    path: pathlib.Path
    wrapper: Localizer

    @property
    def folder(self) -> pathlib.Path:
        """Run folder."""
        return self.path if self.path.is_dir() else self.path.parent

    def samples(self, config: DrawnSamples) -> tuple[Table, int]:
        """Draw the images of a split, and count those that there are.

        Raises:
            ValueError: If there are no images.
        """
        table = table_of_run(self.folder, self.wrapper.config, config)
        return draw_samples(table, config.limit, config.seed), len(table)

    def output_folder(
        self, name: str, split: str, output: str | os.PathLike | None = None
    ) -> pathlib.Path:
        """Return the folder of results: NAME or NAME-SPLIT in the run, or another.

        Examples:
            >>> model = ComparedModel("pylon", pathlib.Path("run/a.weights.h5"), None)
            >>> print(model.output_folder("cams", "val"))
            run/cams-val
        """
        name = name if split == "test" else f"{name}-{split}"
        return pathlib.Path(output or self.folder / name)


def open_models(
    weights: Sequence[str | os.PathLike], family: str, results_dir: str | pathlib.Path
) -> list[ComparedModel]:
    """Load the models to compare, or the newest run of a family.

    Args:
        weights: Run folders or weight files.
        family: Name of the family; empty for that of each run.
        results_dir: Folder of the runs.

    Raises:
        ValueError: If a model does not exist or is repeated.
    """
    paths = [pathlib.Path(path) for path in weights]
    paths = paths or [newest_run(family, results_dir)]
    wrappers = [load_wrapper(path, family or None) for path in paths]
    names = model_names(paths, [wrapper.config.family for wrapper in wrappers])
    return [
        ComparedModel(*values) for values in zip(names, paths, wrappers, strict=True)
    ]


def model_names(paths: Sequence[pathlib.Path], families: Sequence[str]) -> list[str]:
    """Name models by family, by FAMILY/RUN, or by path, as short as names differ.

    Args:
        paths: Run folders or weight files.
        families: Their families.

    Raises:
        ValueError: If a path is repeated.

    Examples:
        >>> paths = [pathlib.Path("results/pylon/a"), pathlib.Path("results/pylon/b")]
        >>> model_names(paths, ["pylon", "pylon"])
        ['pylon/a', 'pylon/b']
    """
    if len({path.resolve() for path in paths}) < len(paths):
        shown = ", ".join(map(str, paths))
        raise ValueError(f"Expected every run once. Received: {shown}.")
    names = list(families)
    if len(set(names)) < len(names):
        pairs = zip(families, paths, strict=True)
        names = [f"{family}/{path.resolve().name}" for family, path in pairs]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]
