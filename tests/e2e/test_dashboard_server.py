"""The dashboard as a process: what it serves to whom, how it begins without a lake, and how it ends."""

import signal
import socket
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Browser, expect

from tests.e2e.dashboard_browser import LAKEHOUSE, Dashboard, Watched, cards
from tests.e2e.dashboard_lake import fill


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
