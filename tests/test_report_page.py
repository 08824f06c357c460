"""The report page: what a reader wants first stands first, nothing is printed as Python would, and
a browser shows it at every width without the network.
"""

import io
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy
import pytest
from experiments import make_epoch, make_runtime
from html_page import Page
from PIL import Image
from synthetic_run import NASTY, make_run

from imgcls import environment
from imgcls.io.records import write_record, write_records
from imgcls.report import html
from imgcls.report.html import Chapter
from imgcls.report.pictures import read_pictures
from imgcls.run import Run
from imgcls.verbs import evaluate
from imgcls.verbs.plot import plot

DRAWN = ["learning_curves", "calibration", "confusion_matrix"]


@pytest.fixture(scope="module")
def reported(tmp_path_factory) -> Run:
    """A synthetic run of seven classes with nasty names, with its page."""
    settings = {"evaluate": {"bootstrap_samples": 100}, "figures": [{"name": n} for n in DRAWN]}
    folder = tmp_path_factory.mktemp("reported") / "run"
    run = make_run(folder, classes=len(NASTY), per_class=20, **settings)
    described = environment.describe(7, ["CPU:0"], make_runtime(), [], None)
    write_record(run.environment_file, described)
    evaluate.evaluate(run, run.experiment, "test")
    plot(run, run.experiment)
    return run


@pytest.fixture
def page(reported: Run) -> Page:
    return Page(reported.report_page)


def test_the_headline_has_results_model_cost_and_date(page: Page, reported: Run):
    headline = page.text.partition("fingerprint")[0]
    evaluation = reported.read_evaluation("test")
    for text in (
        f"{evaluation.metrics['accuracy']:.4f}",
        "1,000 trained parameters",
        "selected epoch",
        "7.5 s",  # five epochs of 1.5 s
        reported.environment.started[:10],
        "under corruptions",
    ):
        assert text in headline


def test_the_list_of_contents_leads_to_every_chapter_in_its_order(page: Page):
    targets = [link["href"].removeprefix("#") for link in page.all("a")]
    assert targets == [each["id"] for each in page.all("section")]
    assert targets[0] == "at-a-glance"
    assert targets[-4:] == ["log", "audit-of-the-data", "configuration", "environment"]


def test_the_confusion_matrix_and_the_learning_curves_stand_first(page: Page):
    assert page.list_figures() == ["confusion_matrix", "learning_curves", "calibration"]
    glance, metrics = (
        page.source.index(f'id="{each}"') for each in ("at-a-glance", "metrics-test-split")
    )
    assert glance < page.source.index('id="learning_curves"') < metrics


def test_no_cell_is_a_python_object(page: Page):
    assert not re.search(r"<td[^>]*>[^<]*(\{|&#x27;|None|True\b|Divergence\()", page.source)
    assert "stage seconds steps" in page.text


def test_the_environment_and_the_audit_are_there(page: Page):
    assert "The data of this split was not audited." in page.text
    for text in ("intra_op_threads", "earlier starts", "CPU:0"):
        assert text in page.text


def test_the_policy_allows_the_one_script_and_nothing_else(page: Page):
    (policy,) = [each["content"] for each in page.all("meta") if "http-equiv" in each]
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert not re.search(r"\son\w+=", page.source)  # no handler in an attribute


def test_a_mapping_becomes_columns_and_a_list_of_mappings_its_number():
    row = {"a": {"b": 1, "c": {"d": 2}}, "e": [{"f": 1}, {"f": 2}], "g": ["x"]}
    assert html.flatten(row) == {"a b": 1, "a c d": 2, "e": 2, "g": ["x"]}


def test_a_title_is_escaped_in_the_heading_and_in_the_contents():
    page = html.make_page("<x>", [Chapter("a <b> & c", "text")])
    assert page.count("a &lt;b&gt; &amp; c") == 2
    assert '<section id="a-b-c">' in page


def test_a_long_log_is_thinned_and_the_page_stays_small(tmp_path: Path):
    run = make_run(tmp_path / "run", figures=[])
    write_records(run.log_file, [make_epoch(epoch=i) for i in range(1, 1202)])
    plot(run, run.experiment)
    page = Page(run.report_page)
    assert "Log: 1201 epochs, 401 of them shown" in page.text
    assert page.source.count("<tr>") < 500


def test_pictures_that_are_too_large_together_are_reduced_the_largest_first(tmp_path: Path):
    generator = numpy.random.default_rng(0)
    paths = {}
    for name, side in (("photo", 900), ("plot", 60)):
        paths[name] = tmp_path / f"{name}.png"
        noise = generator.integers(0, 256, (side, side, 3)).astype(numpy.uint8)
        Image.fromarray(noise).save(paths[name])
    sizes = {name: path.stat().st_size for name, path in paths.items()}
    found = read_pictures(paths, most_bytes=700_000)
    assert sum(map(len, found.values())) <= 700_000
    assert len(found["photo"]) < sizes["photo"]
    assert found["plot"] == paths["plot"].read_bytes()
    assert paths["photo"].stat().st_size == sizes["photo"]
    with Image.open(io.BytesIO(found["photo"])) as picture:
        assert 480 <= picture.width <= 900
    assert read_pictures(paths, most_bytes=10**9)["photo"] == paths["photo"].read_bytes()


# In a browser.


def run_chromium(folder: Path, width: int, *options: str) -> subprocess.CompletedProcess:
    """Run Debian's chromium without a window."""
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("chromium is not installed: apt-get install chromium")
    fixed = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars")
    profile = f"--user-data-dir={folder / 'profile'}"
    command = [browser, *fixed, profile, f"--window-size={width},1400", *options]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)


@pytest.mark.extras
@pytest.mark.parametrize("width", [390, 768, 1280])
def test_a_browser_shows_the_page_at_every_width(reported: Run, tmp_path: Path, width: int):
    picture = tmp_path / "page.png"
    run_chromium(tmp_path, width, f"--screenshot={picture}", reported.report_page.as_uri())
    with Image.open(picture) as opened:
        pixels = numpy.asarray(opened.convert("L")).astype(int)
    assert pixels.shape[1] == width
    assert pixels.std() > 20  # there are words and figures
    assert (pixels[:, -4:] == pixels[0, 0]).all()  # nothing runs over the right margin


PROBE = """
const table = document.querySelector("#metrics-test-split table");
const read = () => [...table.tBodies[0].rows].map(row => row.cells[1].textContent);
const head = table.querySelectorAll("th")[1];
head.click(); const rising = read(); head.click();
document.title = JSON.stringify({
  wide: document.documentElement.scrollWidth, rising, falling: read(),
  order: head.getAttribute("aria-sort"), color: getComputedStyle(document.body).backgroundColor });
"""


@pytest.mark.extras
@pytest.mark.parametrize(("width", "dark"), [(500, False), (1280, True)])
def test_tables_are_sorted_by_a_click_and_dark_is_dark(
    reported: Run, tmp_path: Path, width: int, dark: bool
):
    source = reported.report_page.read_text(encoding="utf-8")
    changed = re.sub(r'<meta http-equiv="Content[^>]*>', "", source)
    copy = tmp_path / "page.html"
    copy.write_text(changed.replace("</body>", f"<script>{PROBE}</script></body>"))
    options = ["--force-dark-mode", "--blink-settings=preferredColorScheme=0"] if dark else []
    done = run_chromium(tmp_path, width, *options, "--dump-dom", copy.as_uri())
    found = json.loads(re.search(r"<title>(.*?)</title>", done.stdout)[1].replace("&quot;", '"'))
    assert found["wide"] <= width
    assert found["order"] == "descending"
    numbers = [float(each) for each in found["rising"] if each != "-"]
    assert numbers == sorted(numbers)
    falling = [float(each) for each in found["falling"] if each != "-"]
    assert falling == numbers[::-1]
    assert found["color"] == ("rgb(22, 24, 28)" if dark else "rgb(255, 255, 255)")
