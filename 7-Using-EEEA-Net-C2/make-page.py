"""Make a page of an exported model: one HTML file that reads radiographs in a browser, without a server.

    python make-page.py
    python make-page.py --model-path export/eeea-net-c2.onnx --page eeea-net-c2.html

Leaves behind the page, which opens by a double click and needs no network: its Content-Security-Policy
forbids every request, so no radiograph leaves the computer. Takes a few seconds. The first time npm, which
comes with Node.js, fetches three packages of 38 MB into PACKAGES_DIR; then no network is needed here either.
"""

from cxr14 import script
from cxr14.deployment_settings import PageSettings

# Paths are relative to this folder.
MODEL_PATH = "../results/7-Using-EEEA-Net-C2/export/eeea-net-c2.onnx"
PAGE = "../results/7-Using-EEEA-Net-C2/export/eeea-net-c2.html"
PACKAGES_DIR = "npm-packages"

if __name__ == "__main__":
    with script.run(PageSettings, globals()) as settings:
        from cxr14.deployment.page.command import make_page

        make_page(settings)
