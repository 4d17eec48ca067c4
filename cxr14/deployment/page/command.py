"""The entry of make-page.py."""

import json

from cxr14.deployment.card import read_card, require_belongs
from cxr14.deployment.page.assembly import build_page
from cxr14.deployment_settings import CARD_FILE, PageSettings
from cxr14.files import atomic_write


def make_page(settings: PageSettings) -> None:
    """Write the page of an exported model: what make-page.py does.

    Raises:
        InputError: the model or its card cannot be used, a package cannot be fetched, or the disk is full.
    """
    card_path = settings.model_path.with_name(CARD_FILE)
    card = read_card(card_path)
    require_belongs(card, card_path, settings.model_path)
    content = json.loads(card_path.read_text(encoding="utf-8"))
    page = build_page(settings.model_path.read_bytes(), content, settings.packages_dir)
    with atomic_write(settings.page) as aside:
        aside.write_text(page, encoding="utf-8", newline="\n")
    megabytes = settings.page.stat().st_size / 1e6
    print(f"{settings.page} ({megabytes:.1f} MB) is written: open it with a browser, by a double click.")
