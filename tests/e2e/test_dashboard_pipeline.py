"""The page of the pipeline, looked at in a browser."""

import re

from playwright.sync_api import expect

from tests.e2e.dashboard_browser import Watched
from tests.e2e.dashboard_lake import HOSTILE


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


def test_a_commit_is_walked_back_to_its_file(watched: Watched) -> None:
    page = watched.open("pipeline")

    page.locator("tr.click", has_text="gold.customer_insights").click()
    trace = page.locator("ul.trace")
    expect(trace).to_contain_text("file pos/day.csv  3 records, 270 bytes, etag d41d8cd9")
    names = [each for each in trace.locator(".strong").all_inner_texts()]
    assert names == ["gold.customer_insights version 0", "silver.validated_pos version 0", "bronze.pos version 0"]
