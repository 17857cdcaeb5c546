"""A running dashboard, and a page of it in a browser that notes what it asks for and complains of."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Page, Playwright, expect

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


def cards(page: Page) -> dict[str, str]:
    """The value on each card by its title."""
    titles = page.locator(".card-title").all_inner_texts()
    return dict(zip(titles, page.locator(".card-value").all_inner_texts(), strict=True))
