"""The written pages in a headless Chromium without a network: what scripts do, and whether a phone's width suffices."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from comparison_sample import make_comparison
from ensemble_sample import make_ensemble
from learning_curve_sample import make_curve
from repeated_sample import judged, make_repeated
from report_sample import make_report
from search_sample import make_search

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM or not DRIVER, reason="no chromium and chromedriver on PATH"),
]

NAMES = [f"{index:03d}.Bird_with_a_long_name_{index}" for index in range(40)]
MAKERS: dict[str, Callable[[], Any]] = {
    "single": lambda: make_report(NAMES),
    "repeated": lambda: make_repeated(NAMES, cells=judged(len(NAMES), seeds=10, folds=5)),
}

OTHERS: dict[str, Callable[[], Any]] = {
    "comparison": lambda: make_comparison(7),
    "ensemble": lambda: make_ensemble(12, tuple(f"ckpt/{name}/20260101-120000-abcd" for name in NAMES[:12])),
    "learning curve": make_curve,
    "search": make_search,
}
"""Pages without a table of classes or a confusion matrix."""

Open = Callable[..., Any]
"""`open_page(kind, width=1280)`: the driver, showing the written report."""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    written = {}
    for kind, make in (MAKERS | OTHERS).items():
        written[kind] = make().write(tmp_path_factory.mktemp(kind))
    return written


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    # Without the sandbox, which root in a container has not; the pages are our own.
    for word in (
        "headless=new",
        "no-sandbox",
        "disable-dev-shm-usage",
        "disable-gpu",
        "host-resolver-rules=MAP * ~NOTFOUND",
    ):
        options.add_argument(f"--{word}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=DRIVER))
    yield started
    started.quit()


@pytest.fixture
def open_page(driver: Any, pages: dict[str, Path]) -> Iterator[Open]:
    def opened(kind: str, *, width: int = 1280) -> Any:
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        driver.get(pages[kind].as_uri())
        return driver

    driver.get_log("browser")
    yield opened
    assert [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"] == []


both = pytest.mark.parametrize("kind", MAKERS)


def find(page: Any, selector: str) -> Any:
    return page.find_element("css selector", selector)


def press(page: Any, element: Any) -> None:
    """Click what may lie below the fold: scrolled to at once, not smoothly."""
    page.execute_script("arguments[0].scrollIntoView({ block: 'center', behavior: 'instant' })", element)
    element.click()


def first_cells(page: Any, column: int) -> list[str]:
    """The keys of the visible rows of the table of classes in one column, as the rows stand."""
    script = """return [...document.querySelectorAll('#classes tbody tr')].filter((row) => !row.hidden)
        .map((row) => row.cells[arguments[0]].dataset.key)"""
    return list(page.execute_script(script, column))


@both
def test_a_heading_sorts_and_sorts_back(open_page: Open, kind: str) -> None:
    page = open_page(kind)
    heading = find(page, "#classes thead button")
    assert first_cells(page, 0) != [str(index) for index in range(len(NAMES))]
    press(page, heading)
    assert first_cells(page, 0) == [str(index) for index in range(len(NAMES))]
    press(page, heading)
    assert first_cells(page, 0) == [str(index) for index in reversed(range(len(NAMES)))]


def test_the_filter_leaves_the_classes_that_hold_the_word(open_page: Open) -> None:
    page = open_page("repeated")
    field = find(page, "input[data-filters]")
    press(page, field)
    field.send_keys("name_3")
    assert sorted(map(int, first_cells(page, 0))) == [3, *range(30, 40)]
    assert find(page, "#class-table-shown").text == "11 of 40"
    field.send_keys("\ue003" * len("name_3"))  # the backspace key
    assert len(first_cells(page, 0)) == len(NAMES)


@both
def test_the_matrix_zooms_and_tells_what_is_chosen(open_page: Open, kind: str) -> None:
    page = open_page(kind)
    picture = "return document.getElementById('matrix').toDataURL()"
    whole = page.execute_script(picture)
    press(page, find(page, 'button[data-zoom="2"]'))
    assert page.execute_script(picture) != whole
    press(page, find(page, 'button[data-zoom="0"]'))
    assert page.execute_script(picture) == whole
    pair = find(page, ".pairs button")
    taken, truth = (NAMES[int(pair.get_attribute(f"data-{side}"))] for side in ("predicted", "true"))
    press(page, pair)
    assert find(page, "#matrix-readout").text.startswith(f"{truth}, taken for {taken}: ")
    assert page.execute_script(picture) != whole


def test_the_map_tells_the_nearest_image_and_marks_its_class(open_page: Open) -> None:
    page = open_page("single")
    resting = find(page, "#map-readout").text
    dot = page.find_elements("css selector", "#map circle")[7]
    point = """arguments[0].scrollIntoView({ block: 'center', behavior: 'instant' });
        const box = arguments[0].getBoundingClientRect();
        const at = { clientX: box.x + box.width / 2, clientY: box.y + box.height / 2, bubbles: true };
        arguments[0].dispatchEvent(new PointerEvent('pointermove', at))"""
    page.execute_script(point, dot)
    readings = page.execute_script("return JSON.parse(document.getElementById('map-data').textContent).readings")
    path, label, *_ = readings[7]
    told = find(page, "#map-readout").text
    assert told.startswith(f"{NAMES[label]}, ")
    assert told.endswith(path)
    assert len(page.find_elements("css selector", "#map .chosen")) == 1
    kin = sum(reading[1] == label for reading in readings)
    assert len(page.find_elements("css selector", "#map .kin")) == kin == 3
    leave = "new PointerEvent('pointerleave', { pointerType: 'mouse' })"
    page.execute_script(f"document.getElementById('map').dispatchEvent({leave})")
    assert find(page, "#map-readout").text == resting
    assert not page.find_elements("css selector", "#map .kin")


@pytest.mark.parametrize("kind", [*MAKERS, *OTHERS])
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_lies_beyond_the_right_edge(open_page: Open, kind: str, width: int) -> None:
    page = open_page(kind, width=width)
    page.execute_script("for (const hidden of document.querySelectorAll('details')) hidden.open = true")
    assert page.execute_script("return innerWidth") == width
    assert page.execute_script("return document.scrollingElement.scrollWidth") <= width


@both
def test_a_blocked_request_would_be_noticed(open_page: Open, driver: Any, kind: str) -> None:
    """The page's own policy refuses what a script might fetch, and the log that every test reads shows it."""
    page = open_page(kind)
    page.execute_async_script("const done = arguments[0]; fetch('https://example.org/').then(done, () => done())")
    refused = [entry["message"] for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]
    assert any("Content Security Policy" in message for message in refused)
