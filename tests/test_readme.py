"""README.md agrees with the settings, and README.zh-CN.md with README.md."""

import dataclasses
import re
from typing import get_args, get_type_hints

import pytest

from cxr14 import data_settings, deployment_settings, settings
from cxr14.settings import ROOT, DistillSettings

FLAG = r"(?<![\w-])--([a-z][\w-]+)"
SETTING = r"\b[A-Z]+(?:_[A-Z]+)+\b"
TREE = re.compile(
    r"<!-- table tree -->.*?<!-- end -->", re.DOTALL
)  # written by docs/tree.py, in English alone
ENGLISH, CHINESE = (
    TREE.sub("", (ROOT / name).read_text(encoding="utf-8")) for name in ("README.md", "README.zh-CN.md")
)


def commands(text):
    """Return the commands of the bash blocks, without their comments."""
    blocks = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    return [line.partition("#")[0].strip() for block in blocks for line in block.splitlines() if line]


def test_both_readmes_give_the_same_commands():
    assert commands(CHINESE) == commands(ENGLISH)


@pytest.mark.parametrize(
    "pattern",
    [
        FLAG,
        SETTING,
        r"!\[[^]]*\]\(([^)]+)\)",
        r"^\| `([a-z]+)`",
    ],
    ids=["flags", "settings", "pictures", "losses"],
)
def test_both_readmes_name_the_same(pattern):
    def named(text):
        return set(re.findall(pattern, text, re.MULTILINE))

    assert named(CHINESE) == named(ENGLISH)
    assert named(ENGLISH)


def test_every_named_setting_exists():
    kinds = [
        kind
        for module in (settings, data_settings, deployment_settings)
        for kind in vars(module).values()
        if dataclasses.is_dataclass(kind)
    ]
    fields = {field.name for kind in kinds for field in dataclasses.fields(kind)}
    flags = {flag.removeprefix("no-").replace("-", "_") for flag in re.findall(FLAG, ENGLISH)}
    of_others = {"help", "nproc_per_node"}
    assert flags - of_others <= fields
    assert {name.lower() for name in re.findall(SETTING, ENGLISH)} <= fields


def test_every_distillation_loss_is_explained():
    choices = get_args(get_type_hints(DistillSettings)["distill_loss"])
    assert re.findall(r"^\| `([a-z]+)`", ENGLISH, re.MULTILINE) == list(choices)


def test_every_required_package_is_explained():
    section = ENGLISH.partition("## Packages")[2].partition("\n## ")[0]
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    names = [line.partition("==")[0] for line in lines if not line.startswith(("-e", "#"))]
    assert [name for name in names if not re.search(rf"(?<![\w-]){name}(?![\w-])", section)] == []


def test_every_linked_file_exists():
    for text in (ENGLISH, CHINESE):
        for target in re.findall(r"\]\(([^)#]+)\)", text):
            assert target.startswith("https://") or (ROOT / target).exists(), target
