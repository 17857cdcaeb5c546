"""The dashboard as its users meet it: started as a process, looked at in a browser, over a lake that changes."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright

from tests.e2e.dashboard_lake import HOSTILE, fill, write_kpis

LAKEHOUSE = Path(sys.executable).with_name("lakehouse")
CHROMIUM_FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()


class Dashboard:
    """A running `lakehouse dashboard`."""

    def __init__(self, root: Path) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "LAKEHOUSE_"))}
        environment["LAKEHOUSE_STATE_DIRECTORY"] = str(root.parent / "state")
        self.process = subprocess.Popen(
            [LAKEHOUSE, "dashboard", "--root", str(root), "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=root.parent,
            env=environment,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
        assert found, f"no address in {line!r}: {self.process.communicate()}"
        self.address = found[0]
        self.port = int(found[1])

    def stop(self, signal_number: int = signal.SIGTERM) -> int:
        self.process.send_signal(signal_number)
        try:
            return self.process.wait(20)
        finally:
            self.process.kill()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dashboard") / "lake"
    folder.mkdir()
    fill(folder)
    return folder


@pytest.fixture(scope="module")
def dashboard(root: Path) -> Iterator[Dashboard]:
    running = Dashboard(root)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium(playwright), args=CHROMIUM_FLAGS)
        yield opened
        opened.close()


def chromium(playwright: Playwright) -> str:
    """The browser to test with: the system's, else Playwright's own."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    found = next((path for path in map(shutil.which, names) if path), None) or playwright.chromium.executable_path
    if not Path(found).exists():
        pytest.fail(
            "no browser: install Chromium (Debian: apt-get install chromium) or run `playwright install chromium`"
        )
    return found


class Watched:
    """A page, and what it asked for and complained of."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.address = address
        self.foreign: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self._note(request.url))
        page.on("console", lambda message: self.complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: self.complaints.append(f"dialog {dialog.message}"))

    def _note(self, url: str) -> None:
        if not url.startswith((self.address, "data:", "blob:")):
            self.foreign.append(url)

    def open(self, path: str) -> Page:
        self.page.goto(f"{self.address}/{path}")
        expect(self.page.locator("#page .card").first).to_be_visible(timeout=30_000)
        expect(self.page.locator(".js-plotly-plot .main-svg").first).to_be_visible(timeout=30_000)
        return self.page


@pytest.fixture
def watched(browser: Browser, dashboard: Dashboard) -> Iterator[Watched]:
    context = browser.new_context(viewport={"width": 1360, "height": 900})
    seen = Watched(context.new_page(), dashboard.address)
    yield seen
    context.close()
    assert seen.foreign == [], "everything must come from this machine"
    assert seen.complaints == []


def cards(page: Page) -> dict[str, str]:
    titles = page.locator(".card-title").all_inner_texts()
    return dict(zip(titles, page.locator(".card-value").all_inner_texts(), strict=True))


@pytest.mark.parametrize(
    ("path", "title", "shown"),
    [
        (
            "sales",
            "Sales",
            {"Revenue": "£1,234,568", "Units sold": "12", "Average basket": "£36.00", "Product conversion": "7.50 %"},
        ),
        (
            "finance",
            "Finance",
            {"Gross revenue": "£3,234", "Refunds": "£34.25", "Discounts": "£100.00", "Net sales": "£3,100"},
        ),
        (
            "marketing",
            "Marketing",
            {
                "Click-through rate": "3.50 %",
                "Campaign ROI": "-25.0 %",
                "Sessions": "4",
                "Bounce rate": "25.0 %",
                "Session duration": "4 min 10 s",
                "Engagement": "2.250",
            },
        ),
        (
            "support",
            "Support",
            {
                "Feedback score": "4.33",
                "Interactions": "5",
                "Complaint share": "62.5 %",
                "Time to resolution, mean": "2 h 2 min",
                "Loyalty activity": "0",
            },
        ),
        (
            "operations",
            "Operations",
            {
                "Stock availability": "97.5 %",
                "Stockouts": "2",
                "Restocks": "0",
                "Inventory turnover": "0.025",
            },
        ),
    ],
)
def test_each_team_sees_its_exact_numbers(watched: Watched, path: str, title: str, shown: dict[str, str]) -> None:
    page = watched.open(path)

    expect(page.locator("h1")).to_have_text(title)
    assert cards(page) == shown
    expect(page.locator("#nav a.here")).to_have_text(title)


def test_a_card_keeps_the_exact_value_at_hand(watched: Watched) -> None:
    page = watched.open("finance")

    values = page.locator(".card-value")
    assert [values.nth(place).get_attribute("title") for place in range(4)] == [
        "£3,234.50",
        "£34.25",
        "£100.00",
        "£3,100.25",
    ]
    assert page.locator(".card-change").first.inner_text() == "Thu 2 Dec: £2,000 no figures for Thu 25 Nov"


def test_the_period_can_be_shortened(watched: Watched) -> None:
    page = watched.open("finance")
    status = page.locator("#finance-status")
    expect(status).to_contain_text("1 to 2 Dec 2010")

    page.get_by_text("Last 7").click()
    expect(page.locator(".card-change").first).to_have_text("no figures for 24 to 25 Nov 2010")
    expect(status).to_contain_text("1 to 2 Dec 2010")
    assert cards(page)["Gross revenue"] == "£3,234"

    page.get_by_text("last year").click()
    expect(page.locator(".card-change").first).to_have_text("no figures for 2 to 3 Dec 2009")


def test_campaigns_are_listed_with_what_they_cost_and_brought(watched: Watched) -> None:
    page = watched.open("marketing")

    table = page.locator("#marketing-campaigns table tr")
    assert [row.locator("th, td").all_inner_texts() for row in table.all()] == [
        ["Campaign", "Spend", "Clicks", "Orders", "Revenue", "Profit", "Return on investment"],
        ["spring", "£100.00", "7", "2", "£75.00", "-£25.00", "-25.0 %"],
        ["All campaigns", "£100.00", "7", "2", "£75.00", "-£25.00", "-25.0 %"],
    ]


def test_hovering_shows_the_whole_number(watched: Watched) -> None:
    page = watched.open("finance")

    page.locator("#finance-net-daily .nsewdrag").hover(position={"x": 740, "y": 120})
    hover = page.locator("#finance-net-daily .hoverlayer")
    expect(hover).to_contain_text("Thu 2 Dec 2010")
    expect(hover).to_contain_text("Gross revenue : £2,000.00")
    expect(hover).to_contain_text("Net sales : £1,865.75")


def test_the_pipeline_accounts_for_every_record(watched: Watched) -> None:
    page = watched.open("pipeline")

    rows = page.locator("#pipeline-balance tbody tr")
    expect(rows).to_have_count(1)
    assert rows.first.locator("td").all_inner_texts() == ["pos", "3", "2", "1", "0", "0", "33.3 %", "balanced"]
    tables = page.locator("#pipeline-tables tbody tr")
    shown = {row.locator("td").first.inner_text(): row.locator("td").nth(1).inner_text() for row in tables.all()}
    assert {name: shown[name] for name in ("bronze.pos", "silver.validated_pos", "rejected.pos")} == {
        "bronze.pos": "3",
        "silver.validated_pos": "2",
        "rejected.pos": "1",
    }
    assert page.locator("#pipeline-rejects .reject").all_inner_texts() == ["enum\n1"]
    expect(page.locator(".layer.bronze time").first).to_have_text(re.compile(r"^\d+ (s|min)( \d+ s)? ago$"))


def test_failing_rows_are_behind_each_rule_and_their_html_is_inert(watched: Watched) -> None:
    page = watched.open("pipeline")

    page.locator(".reject", has_text="enum").click()
    row = page.locator(".failing tbody tr")
    expect(row).to_have_count(1)
    cells = row.locator("td").all_inner_texts()
    assert cells[1:5] == ["type", HOSTILE[:200], "must be one of sale, refund", "pos/day.csv#4"]
    row.locator("summary").click()
    assert row.locator("pre").inner_text() == '{"note": "' + HOSTILE + '"}'

    # Longer than a refresh: an unfolded row stays as it is while nothing changes.
    page.wait_for_timeout(4000)
    expect(row.locator("pre")).to_be_visible()
    assert page.evaluate("window.owned") is None
    assert page.locator("#page img, #page b, #page script").count() == 0
    page.locator(".reject", has_text="enum").click()
    expect(page.locator(".failing")).to_have_count(0)


def test_html_in_dimensions_is_text_in_charts(watched: Watched) -> None:
    page = watched.open("sales")

    legend = page.locator("#sales-revenue-region .legendtext").all_text_contents()
    assert legend[0] == "uk"
    assert legend[1].startswith("<b>bold</b><script>window.owned = 1</script>")
    assert page.evaluate("window.owned") is None
    assert page.locator("#page img, #page b, #page script").count() == 0


def test_a_commit_is_walked_back_to_its_file(watched: Watched) -> None:
    page = watched.open("pipeline")

    page.locator("tr.click", has_text="gold.operations_kpis").click()
    trace = page.locator("ul.trace")
    expect(trace).to_contain_text("file pos/day.csv  3 records, 270 bytes, etag d41d8cd9")
    names = [each for each in trace.locator(".strong").all_inner_texts()]
    assert names == ["gold.operations_kpis version 0", "silver.validated_pos version 0", "bronze.pos version 0"]


def test_a_page_follows_new_commits_without_being_built_anew(watched: Watched, root: Path) -> None:
    page = watched.open("operations")
    assert cards(page)["Stockouts"] == "2"
    page.evaluate("window.before = document.querySelector('#operations-stockouts .main-svg')")

    write_kpis(root, "operations_kpis", [("stockouts", 2, "5.0000", "1", {"warehouse_id": 2})])

    expect(page.locator(".card-value").nth(1)).to_have_text("7", timeout=20_000)
    expect(page.locator("#operations-status")).to_have_text("1 to 2 Dec 2010 · gold.operations_kpis version 1")
    assert page.evaluate("document.contains(window.before)")
    bars = page.locator("#operations-stockouts .ytick text")
    expect(bars).to_have_count(2)
    down = sorted(bars.all(), key=lambda bar: (bar.bounding_box() or {"y": 0})["y"])
    assert [(bar.text_content() or "").strip() for bar in down] == ["Warehouse 2", "Warehouse 1"]


def test_only_this_machine_is_served_under_its_own_names(dashboard: Dashboard) -> None:
    listening = {
        each.laddr.ip
        for each in psutil.Process(dashboard.process.pid).net_connections("inet")
        if each.status == "LISTEN"
    }
    assert listening == {"127.0.0.1"}
    for host, expected in ((f"127.0.0.1:{dashboard.port}", b"200"), ("evil.example", b"403")):
        with socket.create_connection(("127.0.0.1", dashboard.port), timeout=10) as connection:
            connection.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        assert answer.split(b" ", 2)[1] == expected
        assert b"Content-Security-Policy: default-src 'self'" in answer


def test_an_empty_lake_says_so_until_the_first_commit(browser: Browser, tmp_path: Path) -> None:
    """Nothing is there at the start, not even the folder."""
    root = tmp_path / "lake"
    running = Dashboard(root)
    context = browser.new_context()
    try:
        watched = Watched(context.new_page(), running.address)
        page = watched.open("support")
        assert set(cards(page).values()) == {"–"}  # noqa: RUF001 (an en dash)
        expect(page.locator("#support-status")).to_contain_text("there is no lake at")
        expect(page.locator("#support-feedback")).to_contain_text("Nothing yet")
        assert not root.exists(), "looking must not make anything"
        pipeline = Watched(context.new_page(), running.address)
        pipeline.open("pipeline")
        expect(pipeline.page.locator("#pipeline-rejects")).to_have_text("Nothing was rejected.")

        fill(root)

        expect(page.locator(".card-value").first).to_have_text("4.33", timeout=20_000)
        expect(pipeline.page.locator("#pipeline-rejects .reject")).to_have_count(1, timeout=20_000)
        assert watched.foreign + watched.complaints + pipeline.foreign + pipeline.complaints == []
    finally:
        context.close()
        running.stop()


def test_a_taken_port_is_one_clear_line(dashboard: Dashboard, root: Path) -> None:
    finished = subprocess.run(
        [LAKEHOUSE, "dashboard", "--root", str(root), "--port", str(dashboard.port)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert finished.returncode == 1
    assert finished.stdout == ""
    assert finished.stderr == (
        f"lakehouse: port {dashboard.port} cannot be used (Address already in use): "
        "give another one with --port (0 takes any free one)\n"
    )


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_quietly(root: Path, number: int, code: int) -> None:
    running = Dashboard(root)
    time.sleep(0.5)

    assert running.stop(number) == code
    assert running.process.stderr is not None
    assert running.process.stderr.read() == ""
