"""The parts of the page without a browser: its texts, its packages, and what it is assembled from."""

import base64
import dataclasses
import hashlib
import io
import json
import os
import re
import stat
import tarfile
import tomllib

import pytest

from cxr14.data.provenance import MAY_HAVE_SEEN_TEST_PATIENTS
from cxr14.deployment.card import NOT_A_DEVICE
from cxr14.deployment.export.command import SYNTHETIC
from cxr14.deployment.page import npm_packages
from cxr14.deployment.page.assembly import SCRIPTS, SOURCES, as_global
from cxr14.deployment.page.npm_packages import ONNX_RUNTIME, PACKAGES, read_files
from cxr14.errors import InputError
from cxr14.findings import FINDINGS
from cxr14.settings import ROOT
from docs import page_picture
from tests.conftest import run_python

TEXTS = json.loads((SOURCES / "texts.json").read_text(encoding="utf-8"))
SOURCE = "".join((SOURCES / name).read_text(encoding="utf-8") for name in (*SCRIPTS, "page.html"))


def test_every_text_has_both_languages_with_the_same_values():
    for name, texts in TEXTS.items():
        assert list(texts) == ["en", "zh"], name
        values = [re.findall(r"\{(\w+)\}", each) for each in texts.values()]
        assert sorted(values[0]) == sorted(values[1]), name


def test_every_text_is_used_and_every_used_one_exists():
    by_name = r"(?<!\w)(?:text\(|Refusal\(|setStatus\(|id: |data-text=|data-label=)\"(\w+)\""
    assert set(re.findall(by_name, SOURCE)) <= TEXTS.keys()
    # The places of a heat map and the facts of a card are named by parts of their texts.
    parts = {
        f"{row}{column}" for row in ("upper", "middle", "lower") for column in ("Left", "Centre", "Right")
    }
    for name in TEXTS.keys() - parts - set(FINDINGS):
        assert name.startswith("card") or re.search(rf"\b{name}\b", SOURCE), name


def test_findings_and_warnings_of_cards_have_texts():
    assert set(FINDINGS) <= TEXTS.keys()
    english = [texts["en"] for name, texts in TEXTS.items() if name.startswith("card")]
    command = (ROOT / "cxr14" / "deployment" / "export" / "command.py").read_text(encoding="utf-8")
    written = re.sub(r'"\s*\n\s*f?"', "", command)  # strings over several lines
    assert {NOT_A_DEVICE, SYNTHETIC, f"{MAY_HAVE_SEEN_TEST_PATIENTS}: {{origins}}"} <= set(english)
    for warning in english[3:]:
        assert re.sub(r"\{\w+\}", "{points.crops}", warning) in written


def test_all_sources_are_in_the_page_and_in_the_wheel():
    assert {path.name for path in SOURCES.glob("*.js")} == set(SCRIPTS)
    for path in SOURCES.iterdir():
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 300, path.name
    built = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    assert built["cxr14.deployment.page"] == ["sources/*"]


def test_exports_of_a_module_become_members_of_a_global():
    module = "var a=1,b=2;export{a as first,b};\n//# sourceMappingURL=x.map\n"
    assert as_global(module, "lib") == "var a=1,b=2;globalThis.lib={first:a,b:b};"
    with pytest.raises(ValueError, match="exports"):
        as_global("var a=1;", "lib")


@pytest.fixture
def package(tmp_path):
    """A package, and npm in its place: a script that packs it, on the PATH alone."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        member = tarfile.TarInfo("package/dist/a.js")
        member.size = 3
        archive.addfile(member, io.BytesIO(b"abc"))
    content = buffer.getvalue()
    digest = base64.b64encode(hashlib.sha512(content).digest()).decode()
    (tmp_path / "served.tgz").write_bytes(content)
    return dataclasses.replace(ONNX_RUNTIME, name="small", version="1.2.3", integrity=f"sha512-{digest}")


def install_npm(folder, monkeypatch, lines):
    npm = folder / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text(f"#!/bin/sh\n{lines}\n")
    npm.chmod(npm.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{npm.parent}{os.pathsep}/bin{os.pathsep}/usr/bin")


def test_package_is_fetched_once(package, tmp_path, monkeypatch, capsys):
    # $4 is the folder that npm packs into.
    count = f'cp {tmp_path}/served.tgz "$4/small-1.2.3.tgz"; echo "$2" >> {tmp_path}/calls'
    install_npm(tmp_path, monkeypatch, count)
    for _ in range(2):
        assert read_files(package, ["dist/a.js"], tmp_path / "kept") == {"dist/a.js": b"abc"}
    assert (tmp_path / "calls").read_text() == "small@1.2.3\n"
    assert capsys.readouterr().err == "fetching small@1.2.3 …\n"
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["small-1.2.3.tgz"]


def test_other_content_than_the_pinned_is_refused(package, tmp_path, monkeypatch):
    install_npm(tmp_path, monkeypatch, 'echo other > "$4/small-1.2.3.tgz"')
    with pytest.raises(InputError, match=r"is not small@1\.2\.3: its hash differs"):
        read_files(package, ["dist/a.js"], tmp_path / "kept")
    assert not (tmp_path / "kept").exists()
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "small-1.2.3.tgz").write_bytes(b"other")
    with pytest.raises(InputError, match="delete the file"):
        read_files(package, ["dist/a.js"], tmp_path / "kept")


def test_missing_npm_is_one_sentence(package, tmp_path, monkeypatch):
    monkeypatch.setattr(npm_packages.shutil, "which", lambda _: None)
    with pytest.raises(InputError, match=r"npm, which fetches small@1\.2\.3, is not installed"):
        read_files(package, ["dist/a.js"], tmp_path)


def test_missing_network_is_one_sentence(package, tmp_path, monkeypatch):
    install_npm(tmp_path, monkeypatch, "echo npm error code ENOTFOUND >&2; exit 1")
    with pytest.raises(InputError, match=r"npm could not fetch small@1\.2\.3 \(ENOTFOUND\): connect"):
        read_files(package, ["dist/a.js"], tmp_path)


def test_words_of_npm_that_are_no_text_are_one_sentence(package, tmp_path, monkeypatch):
    install_npm(tmp_path, monkeypatch, r"printf '\377\376' >&2; exit 1")
    with pytest.raises(InputError, match=r"npm could not fetch small@1\.2\.3 \(npm gave no reason\)"):
        read_files(package, ["dist/a.js"], tmp_path)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_pipe_or_a_folder_instead_of_an_archive_is_one_sentence(package, tmp_path, make):
    make(tmp_path / "small-1.2.3.tgz")
    with pytest.raises(InputError, match=r"small-1\.2\.3\.tgz is no file; delete it"):
        read_files(package, ["dist/a.js"], tmp_path)


def test_packages_are_pinned():
    for package in PACKAGES:
        assert re.fullmatch(r"\d+\.\d+\.\d+", package.version)
        assert len(base64.b64decode(package.integrity.removeprefix("sha512-"))) == 64


def test_a_card_of_another_model_gets_no_page(exported, tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"another")
    (tmp_path / "model-card.json").write_text((exported / "model-card.json").read_text())
    script = ROOT / "7-Using-EEEA-Net-C2" / "make-page.py"
    done = run_python(script, "--model-path", tmp_path / "model.onnx", "--page", tmp_path / "page.html")
    assert done.returncode == 2 and "another model" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "page.html").exists()


def test_picture_of_the_page_shows_no_patient(tmp_path):
    settings = page_picture.Settings(
        model_path=tmp_path / "model.onnx",
        radiograph=tmp_path / "00000001_000.png",
        finding=FINDINGS[0],
        picture=tmp_path / "page.png",
    )
    with pytest.raises(InputError, match="is no phantom"):
        page_picture.main(settings)
