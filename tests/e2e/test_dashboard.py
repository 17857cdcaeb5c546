"""The pages of the teams as their readers meet them: in a browser, over a lake that changes."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.e2e.dashboard_browser import Watched, cards
from tests.e2e.dashboard_lake import write_kpis


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


def test_every_title_leads_to_what_it_means(watched: Watched) -> None:
    page = watched.open("finance")

    page.locator(".card-title a", has_text="Net sales").press("Enter")
    expect(page.locator(".kpi-page h1")).to_have_text("Net sales")
    expect(page.locator(".kpi-page h1 + p")).to_have_text("What is left of what we sold?")
    expect(page.locator("#nav a.here")).to_have_text("KPIs")
    page.get_by_text("All KPIs").click()
    page.locator(".kpi-page a", has_text="bounce_rate").click()
    expect(page.locator(".kpi-page h1")).to_have_text("Bounce rate")


def test_html_in_dimensions_is_text_in_charts(watched: Watched) -> None:
    page = watched.open("sales")

    legend = page.locator("#sales-revenue-region .legendtext").all_text_contents()
    assert legend[0] == "uk"
    assert legend[1].startswith("<b>bold</b><script>window.owned = 1</script>")
    assert page.evaluate("window.owned") is None
    assert page.locator("#page img, #page b, #page script").count() == 0


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
