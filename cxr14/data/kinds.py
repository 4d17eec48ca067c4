"""Kinds of radiographs (synthetic, tiny, real) and the words for each."""

from collections.abc import Sequence
from dataclasses import dataclass

SYNTHETIC = "synthetic"
"""Name of the kind of phantoms."""

SYNTHETIC_PREFIX = "synthetic_"
"""How the file name of a phantom begins."""

# NIH's official test list holds 25,596 radiographs, ChestMNIST's validation list 11,219. Below a tenth of the
# latter, an AUROC of a rare finding rests on a handful of positives.
_TINY = 1_000


@dataclass(frozen=True)
class Kind:
    """The words for one kind of radiographs."""

    name: str
    """"synthetic", "tiny" or "real": what files of results store."""
    label: str
    """One word for a title, empty for real radiographs."""
    title: str
    """What a title says, with {count} where the number of radiographs belongs."""
    sentence: str
    """The number of radiographs within a sentence, with {count}."""
    opening: str
    """How a sentence about results begins, with its comma; empty for real radiographs."""
    limit: str
    """What such radiographs allow to conclude, a sentence or two, if that is little; otherwise empty."""
    warning: str
    """What a line that announces results adds; otherwise empty."""

    def mark(self, count: int) -> str:
        """Return what a title says about a list of `count` radiographs."""
        return self.title.format(count=count)

    def counted(self, count: int) -> str:
        """Return the number of radiographs for use in a sentence, such as 2,000 synthetic radiographs."""
        return self.sentence.format(count=count)


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            name=SYNTHETIC,
            label="SYNTHETIC",
            title="SYNTHETIC radiographs",
            sentence="{count:,} synthetic radiographs",
            opening="On synthetic radiographs, ",
            limit="These radiographs are synthetic: a program drew them. The results show that the code "
            "works and say nothing about patients.",
            warning="synthetic radiographs say nothing about patients",
        ),
        Kind(
            name="tiny",
            label="TINY",
            title="TINY list of {count:,} radiographs",
            sentence="{count:,} radiographs (a tiny list)",
            opening="On a tiny list, ",
            limit="This list is tiny: on so few radiographs a result may be far from the truth, as its "
            "interval shows.",
            warning="too few radiographs for results to mean much",
        ),
        Kind(
            name="real",
            label="",
            title="{count:,} radiographs",
            sentence="{count:,} radiographs",
            opening="",
            limit="",
            warning="",
        ),
    )
}
"""Name -> kind."""


def kind_of(names: Sequence[str]) -> str:
    """Return the kind of a list by its file names, a key of `KINDS`.

    "synthetic" if a name says so, otherwise "tiny" below 1,000 radiographs, where a mean AUROC is mostly
    luck, otherwise "real".
    """
    if any(name.startswith(SYNTHETIC_PREFIX) for name in names):
        return "synthetic"
    return "tiny" if len(names) < _TINY else "real"
