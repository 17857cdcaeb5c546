"""One dashboard and one browser for all tests that look at it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.e2e.dashboard_browser import CHROMIUM_FLAGS, Dashboard, Watched, chromium
from tests.e2e.dashboard_lake import fill


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dashboard") / "lake"
    folder.mkdir()
    fill(folder)
    return folder


@pytest.fixture(scope="session")
def dashboard(root: Path) -> Iterator[Dashboard]:
    running = Dashboard(root)
    yield running
    running.stop()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium(playwright), args=CHROMIUM_FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def watched(browser: Browser, dashboard: Dashboard) -> Iterator[Watched]:
    context = browser.new_context(viewport={"width": 1360, "height": 900})
    seen = Watched(context.new_page(), dashboard.address)
    yield seen
    context.close()
    assert seen.foreign == [], "everything must come from this machine"
    assert seen.complaints == []
