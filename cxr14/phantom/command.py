"""What make-phantoms.py does: a set of synthetic radiographs, or a contact sheet of all findings."""

from cxr14.phantom.dataset import write_set
from cxr14.phantom.difficulty import difficulty_of
from cxr14.phantom.sheet import contact_sheet
from cxr14.settings import PhantomSettings


def make_phantoms(settings: PhantomSettings) -> None:
    """Draw the set, or the sheet where one is named.

    Raises:
        InputError: the folder holds a set of other settings or files that are no phantoms.
    """
    if settings.sheet:
        contact_sheet(settings.sheet, settings.size, settings.seed, difficulty_of(settings))
        print(f"A contact sheet of synthetic radiographs is in {settings.sheet}.")
    else:
        write_set(settings)
        print(f"{settings.count} synthetic radiographs are in {settings.out}.")
