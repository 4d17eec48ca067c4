"""The files that compare-results.py writes: true numbers, marked titles, a page that stands alone."""

import re

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from cxr14.data.provenance import MAY_HAVE_SEEN_TEST_PATIENTS
from cxr14.evaluation.predictions import Predictions
from cxr14.findings import FINDINGS
from cxr14.report import main_tables, run_tables
from cxr14.report.csv_table import csv_table
from tests.in_process import run_script
from tests.report.common import COMMON, KD, ParsedPage, measure, render, save_trio
from tests.simulated_runs import save_run

# --- the files --------------------------------------------------------------------------------------------


def test_command_writes_report_tables_and_figure(trio):
    folder, printed = trio
    assert {path.name for path in folder.iterdir() if path.is_file()} == {
        "report.html",
        "comparison.md",
        "comparison.csv",
        "comparison.png",
    }
    assert "EEEA-Net-C2 reaches a mean AUROC" in printed
    assert "SYNTHETIC" in printed and "4,732,838" in printed and "311,335,744" in printed


def _all_titles(folder):
    """Return the titles of the page, the headings of the Markdown file, and its table captions."""
    titles = ParsedPage((folder / "report.html").read_text()).titles
    markdown = (folder / "comparison.md").read_text().splitlines()
    headings = [line for line in markdown if line.startswith("#")]
    assert len(titles) >= 15 and len(headings) >= 4
    return titles + headings


def test_every_title_says_that_data_are_synthetic(trio):
    titles = _all_titles(trio[0])
    assert all("SYNTHETIC" in title for title in titles)
    assert not any(MAY_HAVE_SEEN_TEST_PATIENTS in title for title in titles)


def test_every_title_says_that_weights_may_have_seen_test_patients(tmp_path):
    save_run(tmp_path / "1-EEEA-Net-C2", radiographs=80)
    save_run(tmp_path / KD, teacher="3-CheXNet", radiographs=80, unknown_origin=["model.pth.tar"])
    done = run_script("compare-results.py", "--results-dir", tmp_path, "--resamples", 20)
    assert done.returncode == 0, done.stderr
    assert all(MAY_HAVE_SEEN_TEST_PATIENTS in title for title in _all_titles(tmp_path))
    printed = [line for line in done.stdout.splitlines() if "SYNTHETIC radiographs" in line]
    assert len(printed) == 3 and all(MAY_HAVE_SEEN_TEST_PATIENTS in line for line in printed)
    assert "taught by CheXNet may have seen test patients" in done.stdout and "model.pth.tar" in done.stdout
    table = pd.read_csv(tmp_path / "comparison.csv")
    assert (table["caution"] == MAY_HAVE_SEEN_TEST_PATIENTS).all()


def test_page_loads_nothing(trio):
    text = (trio[0] / "report.html").read_text()
    assert not ParsedPage(text).loaded
    assert "http" not in text and "@import" not in text and "url(http" not in text
    assert len(text) < 3e6


def test_figures_take_every_colour_from_the_page(trio):
    drawn = re.findall(r"<svg.*?</svg>", (trio[0] / "report.html").read_text(), flags=re.DOTALL)
    assert len(drawn) == 8
    for svg in drawn:
        assert "var(--ink)" in svg
        assert not re.search(r"[^\w(]#[0-9a-f]{6}\b", svg)
        assert "<style" not in svg and "<metadata" not in svg


def test_ids_are_unique_on_the_page(trio):
    text = (trio[0] / "report.html").read_text()
    ids = re.findall(r'\bid="([^"]*)"', text)
    assert len(ids) == len(set(ids)) > 20
    references = set(re.findall(r'href="#([^"]*)"', text)) | set(re.findall(r"url\(#([^)]*)\)", text))
    assert references and references <= set(ids)


def test_names_are_escaped_in_page_and_markdown(tmp_path):
    save_run(tmp_path / "1-EEEA-Net-C2", radiographs=60, versions={"<script>alert(1)</script>": "|"})
    save_run(tmp_path / "x", teacher="9-<script>|", radiographs=60, distance=1.1)
    done = run_script("compare-results.py", "--results-dir", tmp_path, "--resamples", 20)
    assert done.returncode == 0, done.stderr
    ParsedPage((tmp_path / "report.html").read_text())  # refuses a <script> element
    markdown = (tmp_path / "comparison.md").read_text()
    assert "<script" not in markdown and "&lt;script&gt;&#124;" in markdown
    for table in re.findall(r"(?:^\|.*\n?)+", markdown, flags=re.MULTILINE):
        assert len({line.count("|") for line in table.strip().splitlines()}) == 1


# --- the numbers ------------------------------------------------------------------------------------------


def test_csv_holds_the_values_of_scikit_learn(trio):
    folder, _ = trio
    table = pd.read_csv(folder / "comparison.csv")
    assert len(table) == 3 * (len(FINDINGS) + 1)
    for place, run in ((KD, "EEEA-Net-C2 taught by CheXNet"), ("3-CheXNet", "CheXNet alone")):
        stored = Predictions.load(folder / place / "predictions-test.npz")
        rows = table[table["run"] == run].set_index("finding")
        for finding, labels, scores in zip(FINDINGS, stored.labels.T, stored.probabilities.T, strict=True):
            if 0 < labels.sum() < len(labels):
                assert rows.loc[finding, "AUROC"] == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
        assert rows["positives"][:-1].tolist() == stored.labels.sum(axis=0).tolist()
        defined = rows.loc[list(FINDINGS), "AUROC"].dropna()
        assert rows.loc["macro", "AUROC"] == pytest.approx(defined.mean())
        assert ((rows["AUROC low"] <= rows["AUROC"]) & (rows["AUROC"] <= rows["AUROC high"])).mean() > 0.9


def test_csv_difference_is_taught_minus_alone(trio):
    table = pd.read_csv(trio[0] / "comparison.csv")
    taught, alone = (
        table[table["run"] == f"EEEA-Net-C2 {how}"].reset_index(drop=True)
        for how in ("taught by CheXNet", "alone")
    )
    assert np.allclose(taught["AUROC alone"], alone["AUROC"], equal_nan=True)
    assert np.allclose(taught["difference value"], taught["AUROC"] - alone["AUROC"], equal_nan=True)
    assert table.loc[table["teacher"].isna(), "difference value"].isna().all()


# --- thresholds -------------------------------------------------------------------------------------------


def _best_threshold(val, finding, rule, target=None):
    """Try every threshold, as the rules define them; among equals the lowest."""
    cuts = np.unique(val.probabilities[:, finding])
    positive = val.labels[:, finding] == 1
    yes = val.probabilities[:, finding] >= cuts[:, None]
    sensitivity, false_rate = yes[:, positive].mean(axis=1), yes[:, ~positive].mean(axis=1)
    if rule == "youden":
        return cuts[np.argmax(sensitivity - false_rate)]
    if rule == "f1":
        found = yes[:, positive].sum(axis=1)
        return cuts[np.argmax(2 * found / (yes.sum(axis=1) + positive.sum()))]
    return cuts[sensitivity >= target].max()


@pytest.mark.parametrize(("rule", "target"), [("youden", None), ("f1", None), ("sensitivity", 0.9)])
def test_thresholds_follow_the_rule_of_the_run(tmp_path, rule, target):
    save_run(tmp_path / "3-CheXNet", "3-CheXNet", threshold_rule=rule, target_sensitivity=target)
    (measured,) = measure(tmp_path, 20)
    table = csv_table(measured).set_index("finding")
    val, test = (
        Predictions.load(tmp_path / "3-CheXNet" / f"predictions-{split}.npz") for split in ("val", "test")
    )
    finding = FINDINGS.index("Infiltration")
    threshold = table.loc["Infiltration", "operating threshold"]
    assert threshold == pytest.approx(_best_threshold(val, finding, rule, target))
    assert table.loc["Infiltration", "threshold rule"] == rule
    found = test.probabilities[test.labels[:, finding] == 1, finding] >= np.float32(threshold)
    assert table.loc["Infiltration", "sensitivity at the operating threshold"] == pytest.approx(found.mean())


def test_each_run_keeps_its_own_rule_and_names_it(tmp_path):
    how = {"radiographs": 120, "shares": COMMON}
    save_run(tmp_path / "1-EEEA-Net-C2", threshold_rule="f1", **how)
    save_run(tmp_path / "3-CheXNet", "3-CheXNet", threshold_rule="sensitivity", target_sensitivity=0.8, **how)
    (measured,), text = render(tmp_path)
    groups = [
        {column.group for column in run_tables.operating_table(measured, each).columns}
        for each in measured.runs.values()
    ]
    assert "At the operating threshold (F1)" in groups[0]
    assert "At the operating threshold (sensitivity of at least 0.8)" in groups[1]
    assert "chose their thresholds by different rules (F1 and sensitivity of at least 0.8)" in text
    rules = [row[-1].text for row in run_tables.summary_table(measured).rows]
    assert rules == ["F1", "sensitivity of at least 0.8"]


# --- missing parts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "missing",
    [{"teacher", "about"}, {"student", "validation"}, {"taught"}, {"patients"}, {"epochs"}],
    ids=lambda names: " and ".join(sorted(names)),
)
def test_page_without_some_parts_has_no_nan_or_none(tmp_path, missing):
    how = {"radiographs": 9 if "patients" in missing else 60, "with_val": "validation" not in missing}
    if "about" in missing:
        optional = ("latency_seconds", "image_size", "crops", "device", "epoch", "seed", "splits")
        how |= dict.fromkeys((*optional, "versions", "history", "threshold_rule"))
    if "epochs" in missing:
        how["history"] = []
    if "student" not in missing:
        save_run(tmp_path / "1-EEEA-Net-C2", **how)
    if "teacher" not in missing:
        save_run(tmp_path / "3-CheXNet", "3-CheXNet", **how)
    if "taught" not in missing:
        save_run(tmp_path / KD, teacher="3-CheXNet", **how)
    _, text = render(tmp_path)
    words = " ".join(ParsedPage(text).words)
    assert "nan" not in re.findall(r"[a-z]+", words.lower())
    assert "None" not in words
    assert ("Decisions" in words) == ("validation" not in missing)
    assert (">Training</h2>" in text) == (not missing & {"about", "epochs"})


def test_undefined_finding_is_a_dash_and_outside_the_mean(tmp_path):
    shares = (0.0, *COMMON[1:])
    save_run(tmp_path / "1-EEEA-Net-C2", radiographs=300, shares=shares)
    (measured,), text = render(tmp_path)
    assert f"{FINDINGS[0]}: the list lacks positives or negatives" in text
    covered = len(FINDINGS) - len(measured.undefined)
    assert f"Mean of {covered} of {len(FINDINGS)} findings" in text
    row = main_tables.finding_table(measured).rows[0]
    assert [cell.text for cell in row] == [FINDINGS[0], "0", "300", "–"]


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_report_of_a_list_without_any_defined_finding(tmp_path, share):
    save_trio(tmp_path, radiographs=40, shares=(share,) * len(FINDINGS), kind="tiny")
    done = run_script("compare-results.py", "--results-dir", tmp_path, "--resamples", 20)
    assert done.returncode == 0, done.stderr
    assert "no finding has both positives and negatives on this list" in done.stdout
    assert "Warning" not in done.stderr
    words = " ".join(ParsedPage((tmp_path / "report.html").read_text()).words)
    assert "nan" not in re.findall(r"[a-z]+", words.lower()) and "–" in words


# --- sections ---------------------------------------------------------------------------------------------


def test_other_lists_get_sections_of_their_own(tmp_path):
    save_trio(tmp_path / "one", radiographs=200)
    save_run(tmp_path / "two" / "3-CheXNet", "3-CheXNet", radiographs=200, test_seed=2, kind="real")
    measured, text = render(tmp_path)
    assert [len(each.section.runs) for each in measured] == [3, 1]
    assert len({each.section.fingerprint for each in measured}) == 2
    first, second = text.split('id="list-2"')
    assert "nothing is compared across sections" in first
    names = [row[0].text for row in run_tables.summary_table(measured[1]).rows]
    assert names == ["CheXNet alone"]
    assert "SYNTHETIC" not in "".join(ParsedPage(second).titles)


def test_published_values_are_beside_ours_and_not_among_them(tmp_path):
    save_trio(tmp_path, radiographs=200)
    (measured,) = measure(tmp_path)
    table = main_tables.study_table(measured)
    groups = [column.group for column in table.columns[1:]]
    assert groups[:4] == ["Measured here"] * 4 and groups[4:] == ["Published, another test list"] * 4
    chexnet = next(row for row in table.rows if row[0].text == "CheXNet")
    assert chexnet[7].text == "0.838 to 0.841"
    mean = np.nanmean(measured.arms[measured.section.alone[1]].auroc.values)
    assert chexnet[3].text == f"{mean:.3f}"
    assert any("must not be ranked" in remark for remark in table.remarks)
