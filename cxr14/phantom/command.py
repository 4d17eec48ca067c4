"""The entry of make-phantoms.py."""

from cxr14.data_settings import PhantomSettings
from cxr14.files import exclusive
from cxr14.phantom.dataset import LOCK_FILE, write_set
from cxr14.phantom.difficulty import difficulty_of
from cxr14.phantom.sheet import save_examples


def make_phantoms(settings: PhantomSettings) -> None:
    """Draw the set, or the sheet of examples if the settings name its file.

    Raises:
        InputError: the folder contains a set of other settings, or files that are no phantoms.
    """
    if settings.sheet:
        save_examples(settings.sheet, settings.size, settings.seed, difficulty_of(settings))
        print(f"Examples of synthetic radiographs are in {settings.sheet}.")
    else:
        with exclusive(settings.out / LOCK_FILE, f"another run writes phantoms to {settings.out}"):
            write_set(settings)
        print(f"{settings.count} synthetic radiographs are in {settings.out}.")
