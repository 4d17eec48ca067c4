"""Draw docs/page.png: the page of an exported model with a synthetic radiograph and a heat map.

    python -m docs.page_picture --model-path MODEL --radiograph PHANTOM --finding Effusion

Needs Chromium, and npm where the packages of the page are not here yet.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import tyro

from cxr14.data.kinds import SYNTHETIC_PREFIX
from cxr14.deployment.page.command import make_page
from cxr14.deployment_settings import PageSettings
from cxr14.errors import InputError, exit_on_input_error
from cxr14.files import atomic_write
from cxr14.findings import FINDINGS
from cxr14.settings import ROOT
from tests.browser import Chromium

WIDTH, HEIGHT = 1120, 884
PACKAGES_DIR = ROOT / "7-Using-EEEA-Net-C2" / "npm-packages"


@dataclass(kw_only=True)
class Settings:
    """What the picture shows."""

    model_path: Path
    """Model that export-model.py wrote from a network trained on phantoms; its card lies beside it."""
    radiograph: Path
    """A phantom."""
    finding: str
    """Finding whose heat map is drawn."""
    picture: Path = ROOT / "docs" / "page.png"
    """PNG file to write."""


def main(settings: Settings) -> None:
    """Open the page, give it the radiograph, and photograph it."""
    if not settings.radiograph.name.startswith(SYNTHETIC_PREFIX):
        raise InputError(
            f"{settings.radiograph} is no phantom; pictures of patients do not belong into a README."
        )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_page(
            PageSettings(model_path=settings.model_path, page=folder / "page.html", packages_dir=PACKAGES_DIR)
        )
        with Chromium(folder) as browser, atomic_write(settings.picture) as aside:
            page = browser.open((folder / "page.html").as_uri(), width=WIDTH, height=HEIGHT)
            page.wait_for("typeof status === 'object' && status.id === 'ready'")
            page.choose("#choose", [settings.radiograph])
            page.wait_for("status.id === 'done'")
            page.evaluate(f"toggleHeatMap({FINDINGS.index(settings.finding)})")
            page.screenshot(aside)


if __name__ == "__main__":
    with exit_on_input_error():
        main(tyro.cli(Settings, description=__doc__))
