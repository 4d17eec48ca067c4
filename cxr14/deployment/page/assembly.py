"""The page from its parts: sources, packages, model and card become one HTML file."""

import base64
import gzip
import hashlib
import html
import json
import re
from collections.abc import Mapping
from pathlib import Path
from string import Template

from cxr14.deployment.page.npm_packages import (
    DICOM_PARSER,
    JPEG_LOSSLESS,
    ONNX_RUNTIME,
    PACKAGES,
    read_files,
)

SOURCES = Path(__file__).parent / "sources"

# In this order: each uses those before it when it is loaded.
SCRIPTS = (
    *("texts.js", "elements.js"),
    *("gray.js", "resize.js", "png.js", "jpeg.js", "dicom.js", "dicom_display.js", "radiograph.js"),
    *("model.js", "drawing.js", "chosen_files.js", "one_view.js", "all_view.js", "page.js"),
)

_RUNTIME = ("dist/ort.wasm.bundle.min.mjs", "dist/ort-wasm-simd-threaded.wasm")
_DICOM = "dist/dicomParser.min.js"
_LOSSLESS = "release/lossless-min.js"

_EXPORTS = re.compile(r"export\s*\{([^{}]*)\};?\s*$")
_SOURCE_MAP = re.compile(r"//# sourceMappingURL=.*\s*$")


def build_page(model: bytes, card: Mapping[str, object], packages_dir: Path) -> str:
    """Return the page.

    Args:
        model: content of the ONNX file.
        card: content of its card.
        packages_dir: holds the archives of the npm packages, or will.

    Raises:
        InputError: a package cannot be fetched, or is not the pinned one.
    """
    runtime = read_files(ONNX_RUNTIME, _RUNTIME, packages_dir)
    dicom = read_files(DICOM_PARSER, [_DICOM], packages_dir)
    lossless = read_files(JPEG_LOSSLESS, [_LOSSLESS], packages_dir)
    code, webassembly = (runtime[name] for name in _RUNTIME)
    # The module of ONNX Runtime reads import.meta, which an ordinary script has not.
    modules = [as_global(code.decode(), "ort"), as_global(lossless[_LOSSLESS].decode(), "jpegLossless")]
    own = '"use strict";\n' + "\n".join(_source(name) for name in SCRIPTS)
    styles = _source("page.css")
    scripts = {_without_map(dicom[_DICOM].decode()): "", own: ""} | dict.fromkeys(modules, ' type="module"')
    for script in scripts:
        if "<!--" in script or "</script" in script.lower():
            raise ValueError("a script holds text that would end it inside a page")
    texts = json.loads(_source("texts.json"))
    return Template(_source("page.html")).substitute(
        policy=_policy(list(scripts), styles),
        title=html.escape(f"{texts['title']['en']}, {str(card['network']).partition('-')[2]}"),
        styles=styles,
        scripts="\n".join(f"<script{kind}>{script}</script>" for script, kind in scripts.items()),
        blocks="\n".join(
            (
                _json_block("texts", texts),
                _json_block("card", card),
                _binary_block("model", model),
                _binary_block("runtime", webassembly),
            )
        ),
        licences=_licences(),
    )


def as_global(module: str, name: str) -> str:
    """Return a JavaScript module with its exports as the members of one global object.

    Raises:
        ValueError: the module does not end with its list of exports.
    """
    code, count = _EXPORTS.subn(
        lambda found: f"globalThis.{name}={{{_members(found[1])}}};", _without_map(module)
    )
    if not count:
        raise ValueError(f"the module {name} does not end with its exports")
    return code


def _members(exports: str) -> str:
    pairs = (entry.split(" as ") for entry in exports.split(","))
    return ",".join(f"{pair[-1].strip()}:{pair[0].strip()}" for pair in pairs)


def _policy(scripts: list[str], styles: str) -> str:
    """Return the Content-Security-Policy: these very scripts and styles, and nothing from anywhere."""
    allowed = " ".join(map(_hash, scripts))
    return (
        f"default-src 'none'; script-src {allowed} 'wasm-unsafe-eval'; style-src {_hash(styles)}; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def _source(name: str) -> str:
    return (SOURCES / name).read_text(encoding="utf-8")


def _without_map(code: str) -> str:
    return _SOURCE_MAP.sub("", code)


def _json_block(name: str, content: object) -> str:
    # An escaped "<" cannot begin a tag.
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return f'<script type="application/json" id="{name}">{text}</script>'


def _binary_block(name: str, content: bytes) -> str:
    packed = base64.b64encode(gzip.compress(content, 9, mtime=0)).decode()
    return f'<script type="application/octet-stream" id="{name}">{packed}</script>'


def _licences() -> str:
    packages = "".join(
        f"<p><b>{package.name} {package.version}</b> ({html.escape(package.purpose)}): MIT licence. "
        f"{html.escape(package.copyright)}</p>\n"
        for package in PACKAGES
    )
    return f'<div lang="en">{packages}<pre>{html.escape(_source("mit-licence.txt"))}</pre></div>\n'
