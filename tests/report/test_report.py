"""The report: what is compared with what, whether figures are true, whether a browser shows it whole."""

import os
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import auc, roc_auc_score

from cxr14.errors import InputError
from cxr14.evaluation.predictions import Predictions
from cxr14.findings import FINDINGS
from cxr14.report import curves, main_tables, page, run_tables, style, wording
from cxr14.report import results as report_results
from cxr14.report.runs import plain, read_sections
from cxr14.report.table import Cell, Column, Table
from tests.conftest import run_python
from tests.simulated_runs import save_run

KD = "6-Distilling-to-EEEA-Net-C2/kd3"
COMMON = (0.3,) * len(FINDINGS)  # shares that leave no finding rare in a small list


@pytest.fixture(scope="module")
def trio(tmp_path_factory):
    """A teacher, a student and the student taught, and what compare-results.py made of them."""
    results = tmp_path_factory.mktemp("results")
    _save_trio(results)
    done = run_python("compare-results.py", "--results-dir", results, "--resamples", 200)
    assert done.returncode == 0, done.stderr
    return results, done.stdout


def _save_trio(results, **how):
    save_run(results / "1-EEEA-Net-C2", **how)
    save_run(results / "3-CheXNet", "3-CheXNet", **how)
    save_run(results / KD, teacher="3-CheXNet", **how)


def _gathered(results, resamples=100):
    return [report_results.gather(section, resamples, 0) for section in read_sections(results)]


def _rendered(results):
    gathered = _gathered(results, 40)
    with style.report_style():
        return gathered, page.render(gathered, 40, 0)


class _Page(HTMLParser):
    """Titles of figures and tables, words, and whatever a browser would fetch."""

    def __init__(self, text):
        super().__init__()
        self.titles, self.words, self.fetched, self._inside = [], [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "caption" or attrs.get("class") == "title":
            self.titles.append("")
            self._inside = tag
        self.fetched += [
            value
            for name, value in attrs.items()
            if name in ("src", "href", "xlink:href", "srcset", "data")
            and not value.startswith(("#", "data:"))
        ]
        assert tag not in ("script", "iframe", "object", "embed")

    def handle_endtag(self, tag):
        if tag == self._inside:
            self._inside = None

    def handle_data(self, data):
        self.words.append(data)
        if self._inside:
            self.titles[-1] += data


# --- what the command leaves behind -----------------------------------------------------------------------


def test_leaves_report_tables_and_figure(trio):
    results, printed = trio
    assert {path.name for path in results.iterdir() if path.is_file()} == {
        "report.html",
        "comparison.md",
        "comparison.csv",
        "comparison.png",
    }
    assert "EEEA-Net-C2 reaches a mean AUROC" in printed
    assert "SYNTHETIC" in printed and "4,732,838" in printed and "311,335,744" in printed


def test_every_title_says_that_data_are_synthetic(trio):
    results, _ = trio
    shown = _Page((results / "report.html").read_text())
    assert len(shown.titles) >= 15
    assert all("SYNTHETIC" in title for title in shown.titles)
    markdown = (results / "comparison.md").read_text()
    headings = [line for line in markdown.splitlines() if line.startswith("#")]
    assert headings and all("SYNTHETIC" in line for line in headings)


def test_report_asks_nothing_of_a_network(trio):
    results, _ = trio
    text = (results / "report.html").read_text()
    assert not _Page(text).fetched
    assert "http" not in text and "@import" not in text and "url(http" not in text
    assert len(text) < 3e6


def test_figures_take_every_colour_from_the_page(trio):
    drawn = re.findall(r"<svg.*?</svg>", (trio[0] / "report.html").read_text(), flags=re.DOTALL)
    assert len(drawn) == 7
    for svg in drawn:
        assert "var(--ink)" in svg
        assert not re.search(r"[^\w(]#[0-9a-f]{6}\b", svg)


def test_csv_holds_the_figures_of_scikit_learn(trio):
    results, _ = trio
    table = pd.read_csv(results / "comparison.csv")
    assert len(table) == 3 * (len(FINDINGS) + 1)
    for folder, run in ((KD, "EEEA-Net-C2 taught by CheXNet"), ("3-CheXNet", "CheXNet alone")):
        stored = Predictions.load(results / folder / "predictions-test.npz")
        rows = table[table["run"] == run].set_index("finding")
        for finding, labels, scores in zip(FINDINGS, stored.labels.T, stored.probabilities.T, strict=True):
            if 0 < labels.sum() < len(labels):
                assert rows.loc[finding, "AUROC"] == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
        assert rows["positives"][:-1].tolist() == stored.labels.sum(axis=0).tolist()
        defined = rows.loc[list(FINDINGS), "AUROC"].dropna()
        assert rows.loc["macro", "AUROC"] == pytest.approx(defined.mean())
        assert ((rows["AUROC low"] <= rows["AUROC"]) & (rows["AUROC"] <= rows["AUROC high"])).mean() > 0.9


def test_csv_difference_is_taught_minus_alone(trio):
    results, _ = trio
    table = pd.read_csv(results / "comparison.csv")
    taught, alone = (
        table[table["run"] == f"EEEA-Net-C2 {how}"].reset_index(drop=True)
        for how in ("taught by CheXNet", "alone")
    )
    assert np.allclose(taught["AUROC alone"], alone["AUROC"], equal_nan=True)
    assert np.allclose(taught["difference value"], taught["AUROC"] - alone["AUROC"], equal_nan=True)
    assert table.loc[table["teacher"].isna(), "difference value"].isna().all()


def test_thresholds_come_from_validation_and_act_on_test(trio):
    results, _ = trio
    table = pd.read_csv(results / "comparison.csv").query("run == 'CheXNet alone'").set_index("finding")
    val, test = (
        Predictions.load(results / "3-CheXNet" / f"predictions-{split}.npz") for split in ("val", "test")
    )
    finding = FINDINGS.index("Infiltration")
    threshold = table.loc["Infiltration", "operating threshold"]
    assert np.isin(np.float32(threshold), val.probabilities[:, finding])
    cuts = np.unique(val.probabilities[:, finding])
    positive = val.labels[:, finding] == 1
    yes = val.probabilities[:, finding] >= cuts[:, None]
    youden = yes[:, positive].mean(axis=1) - yes[:, ~positive].mean(axis=1)
    assert threshold == pytest.approx(cuts[youden.argmax()])
    found = test.probabilities[test.labels[:, finding] == 1, finding] >= np.float32(threshold)
    assert table.loc["Infiltration", "sensitivity at the operating threshold"] == pytest.approx(found.mean())


# --- what is compared with what ---------------------------------------------------------------------------


def test_other_lists_get_sections_of_their_own(tmp_path):
    _save_trio(tmp_path / "one", radiographs=200)
    save_run(tmp_path / "two" / "3-CheXNet", "3-CheXNet", radiographs=200, test_seed=2, kind="real")
    gathered, text = _rendered(tmp_path)
    assert [len(each.section.runs) for each in gathered] == [3, 1]
    assert len({each.section.fingerprint for each in gathered}) == 2
    first, second = text.split('id="list-2"')
    assert "nothing is compared across them" in first
    # The table of the second list knows its own run alone.
    names = [row[0].text for row in run_tables.summary_table(gathered[1]).rows]
    assert names == ["CheXNet alone"]
    assert "SYNTHETIC" not in "".join(_Page(second).titles)


def test_same_list_with_other_labels_is_refused(tmp_path):
    save_run(tmp_path / "a", radiographs=50)
    save_run(tmp_path / "b", "3-CheXNet", radiographs=50)
    stored = Predictions.load(tmp_path / "b" / "predictions-test.npz")
    stored.labels[0] = 1 - stored.labels[0]
    stored.save(tmp_path / "b" / "predictions-test.npz")
    with pytest.raises(InputError, match="same image list"):
        read_sections(tmp_path)


def test_runs_of_one_name_are_told_apart(tmp_path):
    save_run(tmp_path / "alone", radiographs=60)
    save_run(tmp_path / "bernoulli", teacher="3-CheXNet", radiographs=60)
    save_run(tmp_path / "study", teacher="3-CheXNet", radiographs=60, settings={"distill_loss": "study"})
    save_run(tmp_path / "other-seed", teacher="3-CheXNet", radiographs=60, seed=7)
    save_run(tmp_path / "twin", teacher="3-CheXNet", radiographs=60, seed=7)
    (section,) = read_sections(tmp_path)
    names = [run.name for run in section.runs]
    assert len(set(names)) == len(names) == 5
    assert names[0] == "EEEA-Net-C2 alone"
    assert "EEEA-Net-C2 taught by CheXNet (study loss, seed 0)" in names
    assert "EEEA-Net-C2 taught by CheXNet (bernoulli loss, seed 7, twin)" in names


def test_a_taught_student_is_compared_with_the_student_of_its_seed(tmp_path):
    for seed in (0, 1):
        save_run(tmp_path / f"alone-{seed}", radiographs=60, seed=seed)
        save_run(tmp_path / f"taught-{seed}", teacher="3-CheXNet", radiographs=60, seed=seed)
    (section,) = read_sections(tmp_path)
    assert [(each.taught.about("seed"), each.alone.about("seed")) for each in section.teachings] == [
        (0, 0),
        (1, 1),
    ]


def test_networks_stand_in_the_order_of_their_folders(tmp_path):
    for network in ("5-AutoFormerV2-base", "1-EEEA-Net-C2", "3-CheXNet"):
        save_run(tmp_path / f"z-{network}", network, radiographs=40)
    (section,) = read_sections(tmp_path)
    assert [run.network for run in section.runs] == ["EEEA-Net-C2", "CheXNet", "AutoFormerV2-base"]
    assert plain("10-New") == "New" and plain("unnumbered") == "unnumbered"


def test_published_figures_stand_beside_and_never_among_ours(tmp_path):
    _save_trio(tmp_path, radiographs=200)
    (measured,) = _gathered(tmp_path)
    table = main_tables.study_table(measured)
    groups = [column.group for column in table.columns[1:]]
    assert groups[:4] == [groups[0]] * 4 and groups[4:] == [groups[4]] * 4 and groups[0] != groups[4]
    chexnet = next(row for row in table.rows if row[0].text == "CheXNet")
    assert chexnet[7].text == "0.838 to 0.841"
    mean = np.nanmean(measured.measured[measured.section.alone[1]].auroc.values)
    assert chexnet[3].text == f"{mean:.3f}"
    assert any("must not be ranked" in remark for remark in table.remarks)


# --- what a reader is warned of ---------------------------------------------------------------------------


def _cautions(results):
    (measured,) = _gathered(results, 1000)
    return "\n".join(wording.cautions(measured)), measured


def test_validation_of_another_checkpoint_is_left_out(tmp_path):
    save_run(tmp_path / "1-EEEA-Net-C2", radiographs=80)
    save_run(tmp_path / "other", radiographs=80, seed=3)
    shutil.copy(
        tmp_path / "other" / "predictions-val.npz", tmp_path / "1-EEEA-Net-C2" / "predictions-val.npz"
    )
    shutil.rmtree(tmp_path / "other")
    told, measured = _cautions(tmp_path)
    assert "another checkpoint" in told
    assert all(each.chosen is None for each in measured.measured.values())


def test_validation_that_shares_patients_with_the_test_is_left_out(tmp_path):
    save_run(tmp_path / "1-EEEA-Net-C2", radiographs=80)
    path = tmp_path / "1-EEEA-Net-C2" / "predictions-val.npz"
    val = Predictions.load(path)
    test = Predictions.load(path.with_name("predictions-test.npz"))
    val.patients[0] = test.patients[-1]
    val.save(path)
    told, measured = _cautions(tmp_path)
    assert "shares patients" in told
    assert all(each.chosen is None for each in measured.measured.values())


def test_a_comparison_across_training_lists_is_named(tmp_path):
    save_run(tmp_path / "1-EEEA-Net-C2", radiographs=80)
    save_run(tmp_path / KD, teacher="3-CheXNet", radiographs=80, splits={"train": "c" * 64})
    assert "differ in training list" in _cautions(tmp_path)[0]


def test_a_finding_of_few_patients_is_named_and_counts_for_nothing(tmp_path):
    shares = (*COMMON[:-1], 0.02)
    save_run(tmp_path / "1-EEEA-Net-C2", radiographs=300, shares=shares, distance=0.1)
    save_run(tmp_path / KD, teacher="3-CheXNet", radiographs=300, shares=shares, distance=3)
    told, measured = _cautions(tmp_path)
    assert f"{FINDINGS[-1]}: fewer than" in told
    assert measured.trusted.tolist() == [True] * (len(FINDINGS) - 1) + [False]
    higher = int(main_tables.gain_table(measured).rows[0][-2].text)
    assert higher == len(FINDINGS) - 1


# --- the main finding -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("distance", "kind", "expected"),
    [
        (2.5, "real", r"^EEEA-Net-C2 reaches .*: a gain of 0\.\d{3} \(95 % interval \+.*p ≤ 0\.0"),
        (0.2, "real", r"^EEEA-Net-C2 reaches .*: a loss of 0\.\d{3} \(95 % interval −.*p ≤ 0\.0"),
        (
            1.05,
            "tiny",
            r"^On a tiny list, .* a difference of [+−]0\.0\d\d \(.*\), which chance alone could give\.$",
        ),
    ],
)
def test_main_finding_says_gain_loss_or_neither(tmp_path, distance, kind, expected):
    how = {"radiographs": 400, "shares": COMMON, "kind": kind}
    save_run(tmp_path / "1-EEEA-Net-C2", **how)
    save_run(tmp_path / KD, teacher="3-CheXNet", distance=distance, **how)
    (measured,) = _gathered(tmp_path, 100)
    assert re.search(expected, wording.main_finding(measured))


def test_main_finding_of_several_teachers_counts_adjusted_p_values(tmp_path):
    how = {"radiographs": 400, "shares": COMMON}
    save_run(tmp_path / "1-EEEA-Net-C2", **how)
    for number, (teacher, distance) in enumerate(
        (("2-OFA-595", 1.05), ("3-CheXNet", 2.5), ("5-AutoFormerV2-base", 0.2))
    ):
        save_run(tmp_path / f"kd{number}", teacher=teacher, distance=distance, **how)
    (measured,) = _gathered(tmp_path, 200)
    told = wording.main_finding(measured)
    assert told.startswith("On synthetic radiographs, 1 of 3 teachings raised EEEA-Net-C2's mean AUROC")
    assert "and 1 lowered it" in told and "taught by CheXNet" in told and "3 comparisons" in told


def test_main_finding_without_a_pair_says_so(tmp_path):
    save_run(tmp_path / "a" / KD, teacher="3-CheXNet", radiographs=60, kind="real")
    save_run(tmp_path / "b" / "3-CheXNet", "3-CheXNet", radiographs=60, kind="real")
    lonely, networks = _gathered(tmp_path / "a")[0], _gathered(tmp_path / "b")[0]
    assert "EEEA-Net-C2 alone was not tested on this list" in wording.main_finding(lonely)
    assert wording.main_finding(networks).startswith("No taught student was tested")


# --- whatever is there, a page comes out ------------------------------------------------------------------


@pytest.mark.parametrize(
    "missing",
    [{"teacher", "about"}, {"student", "validation"}, {"taught"}, {"patients"}],
    ids=lambda names: " and ".join(sorted(names)),
)
def test_a_page_comes_out_whatever_is_missing(tmp_path, missing):
    how = {"radiographs": 9 if "patients" in missing else 60, "with_val": "validation" not in missing}
    if "about" in missing:
        optional = ("latency_seconds", "image_size", "crops", "device", "epoch", "splits", "settings")
        how |= dict.fromkeys((*optional, "versions", "history"))
    if "student" not in missing:
        save_run(tmp_path / "1-EEEA-Net-C2", **how)
    if "teacher" not in missing:
        save_run(tmp_path / "3-CheXNet", "3-CheXNet", **how)
    if "taught" not in missing:
        save_run(tmp_path / KD, teacher="3-CheXNet", **how)
    _, text = _rendered(tmp_path)
    words = " ".join(_Page(text).words)
    assert "nan" not in re.findall(r"[a-z]+", words.lower())
    assert "None" not in words
    assert ("Decisions" in words) == ("validation" not in missing)
    assert ("Training" in words) == ("about" not in missing)


def test_a_finding_without_positives_is_shown_as_undefined(tmp_path):
    shares = (0.0, *COMMON[1:])
    save_run(tmp_path / "1-EEEA-Net-C2", radiographs=300, shares=shares)
    (measured,), text = _rendered(tmp_path)
    assert f"{FINDINGS[0]} cannot be measured" in text
    covered = len(FINDINGS) - len(measured.undefined)
    assert f"Mean of {covered} of {len(FINDINGS)} findings" in text
    row = main_tables.finding_table(measured).rows[0]
    assert [cell.text for cell in row] == [FINDINGS[0], "0", "300", "–"]


# --- bad input --------------------------------------------------------------------------------------------


def test_bad_input_is_one_sentence_and_leaves_nothing(tmp_path):
    folder = tmp_path / "1-EEEA-Net-C2"
    folder.mkdir()
    (folder / "predictions-test.npz").write_bytes(b"PK\3\4 cut short")
    done = run_python("compare-results.py", "--results-dir", tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and "not a readable file" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["1-EEEA-Net-C2"]


@pytest.mark.parametrize(
    ("about", "told"),
    [({"kind": "dreamt"}, "a kind among synthetic, tiny, real"), ({"macs": None}, "does not tell macs")],
)
def test_a_run_that_tells_too_little_is_refused(tmp_path, about, told):
    save_run(tmp_path, radiographs=20, **about)
    with pytest.raises(InputError, match=told):
        read_sections(tmp_path)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="there are no predictions below"):
        read_sections(tmp_path)


# --- the parts --------------------------------------------------------------------------------------------


def test_holm_is_the_least_level_at_which_the_procedure_rejects():
    draw = np.random.default_rng(0)
    for _ in range(50):
        p_values = np.round(draw.random(6) ** 3, 3)
        adjusted = report_results.holm(p_values)
        for level in draw.random(20):
            rejected = np.zeros(6, dtype=bool)
            for step, index in enumerate(np.argsort(p_values)):
                if p_values[index] > level / (6 - step):
                    break
                rejected[index] = True
            assert np.array_equal(adjusted <= level, rejected)
    with_gap = report_results.holm(np.array([0.02, np.nan, 0.03]))
    assert with_gap[[0, 2]] == pytest.approx([0.04, 0.04]) and np.isnan(with_gap[1])


def test_thinned_curves_keep_ends_and_area():
    draw = np.random.default_rng(1)
    labels = draw.random(20_000) < 0.05
    scores = draw.normal(size=20_000) + labels
    x, y = curves.roc(labels, scores)
    assert len(x) <= curves.MOST_POINTS
    assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)
    assert auc(x, y) == pytest.approx(roc_auc_score(labels, scores), abs=2e-3)
    recall, precision = curves.precision_recall(labels, scores)
    assert len(recall) <= curves.MOST_POINTS and np.all(np.diff(recall) >= 0)
    assert recall[-1] == 1 and precision[-1] == pytest.approx(labels.mean(), rel=0.05)


def test_numbers_as_a_reader_sees_them():
    assert wording.signed(-0.0123) == "−0.012" and wording.signed(-0.0001) == "0.000"
    assert wording.p_value(2 / 1001, 1000) == "p ≤ 0.002" and wording.p_value(0.0421, 1000) == "p = 0.042"
    assert wording.figure(float("nan")) == "–" and wording.whole(4_732_838) == "4,732,838"
    assert wording.listed(["A"]) == "A" and wording.listed(["A", "B", "C"]) == "A, B and C"


def test_a_table_reads_alike_in_markdown_and_in_a_terminal():
    columns = [Column("Name", numeric=False), Column("low", "A long group"), Column("high", "A long group")]
    table = Table("Title", columns, [[Cell("a"), Cell("1.0", "0–2"), Cell("22.5")]])
    assert "| a | 1.0 (0–2) | 22.5 |" in table.markdown()
    lines = table.text().splitlines()
    assert lines[0] == "Title" and lines[2].endswith("A long group")
    assert lines[-1].index("22.5") + 4 == lines[3].index("high") + 4  # numbers end under their heads


# --- in a browser -----------------------------------------------------------------------------------------

_CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def _browse(folder, page_path, *flags):
    """Open a page without any network; return the DOM's text, and what the browser wanted from outside."""
    log = folder / "net.json"
    done = subprocess.run(
        [
            *(_CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            *(f"--user-data-dir={folder / 'profile'}", "--enable-logging=stderr", f"--log-net-log={log}"),
            *("--window-size=1200,1600", *flags, page_path.as_uri()),
        ],
        env=os.environ | {"HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    asked = set(re.findall(r'"url":"((?:https?|file)[^"]*)"', log.read_text(errors="replace")))
    return done.stdout, done.stderr, asked


@pytest.mark.slow
@pytest.mark.skipif(_CHROMIUM is None, reason="no Chromium is installed: apt-get install chromium")
def test_a_browser_shows_the_whole_report(trio, tmp_path):
    results, _ = trio
    dom, told, asked = _browse(tmp_path, results / "report.html", "--dump-dom")
    for heading in (
        "How to read this",
        "Size and AUROC",
        "Each finding",
        "What teaching adds",
        "Curves",
        "Cost",
    ):
        assert re.search(f"<h2[^>]*>{heading}</h2>", dom)
    for heading in ("Decisions", "Honest probabilities", "Training", "Where each row comes from"):
        assert re.search(f"<h2[^>]*>{heading}</h2>", dom)
    assert dom.count("<svg") == 7 and dom.count('role="img"') == 7
    assert "CONSOLE" not in told
    assert not [url for url in asked if url.startswith("http") and "google" not in url]


@pytest.mark.slow
@pytest.mark.skipif(_CHROMIUM is None, reason="no Chromium is installed: apt-get install chromium")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_shows_it_on_light_and_on_dark_ground(trio, tmp_path, scheme):
    from PIL import Image

    results, _ = trio
    picture = tmp_path / "page.png"
    flags = ["--blink-settings=preferredColorScheme=0"] if scheme == "dark" else []
    _browse(tmp_path, results / "report.html", f"--screenshot={picture}", *flags)
    ground, ink = (getattr(style.COLOURS[name], scheme) for name in ("ground", "ink"))
    shown = Image.open(picture).convert("RGB")
    colours = {_hex(colour) for _, colour in shown.getcolors(2**24)}
    assert ground in colours and ink in colours
    assert _hex(shown.getpixel((2, 2))) == ground


def _hex(colour):
    return "#" + "".join(f"{part:02x}" for part in colour)
