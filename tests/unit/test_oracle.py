"""The oracle's KPIs against figures worked out by hand: who checks the lake is checked by something simpler still."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from local.oracle.identities import Fate
from local.oracle.lexical import microseconds_of
from tests.unit.oracle_deliveries import (
    DAY,
    NEXT,
    SALES,
    by_id,
    contact,
    expected,
    figures,
    json_file,
    pos,
    records,
    stock,
    web,
)


def test_sales_kpis() -> None:
    found = expected(SALES)
    assert figures(found, "revenue_by_store") == {
        (DAY, 1): ("11.5", "1", "11.5"),
        (DAY, 2): ("12.5", "1", "12.5"),
        (NEXT, 1): ("2", "1", "2"),
    }
    assert figures(found, "revenue_by_region") == {
        (DAY, "north"): ("11.5", "1", "11.5"),
        (DAY, "europe"): ("12.5", "1", "12.5"),
        (NEXT, "north"): ("2", "1", "2"),
    }
    assert figures(found, "units_sold") == {
        (DAY, "toys"): ("13", "1", "13"),
        (DAY, "bags"): ("1", "1", "1"),
        (NEXT, "toys"): ("1", "1", "1"),
    }
    assert figures(found, "average_basket") == {
        (DAY, 1): ("11.5", "1", "11.5"),
        (DAY, 2): ("12.5", "1", "12.5"),
        (NEXT, 1): ("2", "1", "2"),
    }
    assert figures(found, "daily_revenue") == {(DAY,): ("24", "1", "24"), (NEXT,): ("2", "1", "2")}
    assert figures(found, "refunds") == {(DAY,): ("2", "1", "2")}
    assert figures(found, "discounts") == {(DAY,): ("0.5", "1", "0.5"), (NEXT,): ("0", "1", "0")}
    assert figures(found, "net_sales") == {(DAY,): ("21.5", "1", "21.5"), (NEXT,): ("2", "1", "2")}


def test_a_basket_counts_once_for_its_sales_even_if_it_starts_with_a_return() -> None:
    found = expected(
        pos(
            "T1,1,1,A,-1,2.00,-2.00,,,2010-12-01T10:00:00Z",
            "T1,2,1,B,1,5.00,5.00,,,2010-12-01T10:00:00Z",
            "T1,3,1,B,2,5.00,10.00,,,2010-12-01T10:01:00Z",
        )
    )
    assert [row["is_first_line"] for row in found.silver["validated_pos"]] == [True, True, False]
    assert figures(found, "average_basket") == {(DAY, 1): ("15", "1", "15")}


def test_a_basket_number_used_again_days_later_is_another_basket() -> None:
    found = expected(
        pos(
            "T1,1,1,A,1,2.00,2.00,,,2010-12-01T10:00:00Z",
            "T1,2,1,A,1,2.00,2.00,,,2010-12-02T10:00:00Z",
            "T1,3,1,A,1,2.00,2.00,,,2010-12-03T10:00:01Z",
        )
    )
    assert [row["is_first_line"] for row in found.silver["validated_pos"]] == [True, False, True]


def test_reference_data_counts_as_of_the_event_time() -> None:
    found = expected(
        pos(
            "T1,1,1,A,1,2.00,2.00,,,2010-12-02T11:59:59.999999Z",
            "T2,1,1,A,1,2.00,2.00,,,2010-12-02T12:00:00Z",
            "T3,1,1,NEW,1,2.00,2.00,,,2010-12-02T12:00:00Z",
            "T4,1,1,NEW,1,2.00,2.00,,,2010-12-02T11:59:59Z",
            "T5,1,9,A,1,2.00,2.00,,,2010-12-02T12:00:00Z",
            "T6,1,1,A,1,2.00,2.00,,,2008-12-31T23:59:59Z",
        )
    )
    assert [(row["transaction_id"], row["region"]) for row in found.silver["validated_pos"]] == [
        ("T1", "north"),
        ("T2", "south"),
        ("T3", "south"),
    ]
    assert found.silver["validated_pos"][2]["unit_cost"] == Decimal("3.0000")
    unknown = frozenset({"reference"})
    assert {record: fate for record, fate in found.fates["pos"].items() if fate.rules} == {
        "pos/a.csv#5": Fate("rejected.pos", unknown, "product_id"),
        "pos/a.csv#6": Fate("rejected.pos", unknown, "store_id"),
        "pos/a.csv#7": Fate("rejected.pos", unknown, "store_id"),
    }
    rejected = {record: fate for record, fate in found.fates["stores"].items() if fate.rules}
    assert rejected == {"stores/a.csv#2": Fate("rejected.stores", frozenset({"type"}), "valid_from")}


def test_conversion_clicks_and_funnel() -> None:
    found = expected(
        streams=records(
            "web_logs",
            web("1", "2010-12-01T10:00:00Z", product_id="A"),
            web("2", "2010-12-01T10:01:00Z", product_id="A"),
            web("3", "2010-12-01T10:02:00Z", product_id="A", user_id="bob"),
            web("4", "2010-12-01T10:03:00Z", product_id="A", event_type="purchase", order_value=7),
            web("5", "2010-12-01T10:04:00Z", product_id="B", event_type="purchase", order_value=7, user_id="cid"),
            web("6", "2010-12-01T10:05:00Z"),
            web("7", "2010-12-01T10:06:00Z", event_type="impression", campaign_id="x"),
            web("8", "2010-12-01T10:07:00Z", event_type="impression", campaign_id="x"),
            web("9", "2010-12-01T10:08:00Z", event_type="click", campaign_id="x"),
            web("10", "2010-12-01T10:09:00Z", event_type="click"),
            web("11", "2010-12-01T10:10:00Z", event_type="add_to_cart"),
            web("12", "2010-12-01T10:11:00Z", event_type="scroll"),
            web("13", "2010-12-02T10:11:00Z", event_type="click", campaign_id="y"),
        )
    )
    assert figures(found, "product_conversion_rate") == {
        (DAY, "toys", "A"): ("1", "3", "0.3333333333"),
        (DAY, "bags", "B"): ("1", "0", None),
    }
    assert figures(found, "click_through_rate") == {(DAY, "x"): ("1", "2", "0.5"), (NEXT, "y"): ("1", "0", None)}
    assert figures(found, "funnel_stage") == {
        (DAY, "view"): ("4", "1", "4"),
        (DAY, "purchase"): ("2", "1", "2"),
        (DAY, "impression"): ("2", "1", "2"),
        (DAY, "click"): ("2", "1", "2"),
        (DAY, "cart"): ("1", "1", "1"),
        (NEXT, "click"): ("1", "1", "1"),
    }


def test_campaign_roi_goes_to_the_last_campaign_touched_before_the_purchase() -> None:
    spend = json_file(
        "campaigns/a.jsonl",
        {"campaign_id": "x", "name": "X", "channel": "email", "date": "2010-12-01", "spend": 40},
        {"campaign_id": "y", "name": "Y", "channel": "search", "date": "2010-12-01", "spend": "30.00"},
    )
    found = expected(
        spend,
        streams=records(
            "web_logs",
            web("1", "2010-12-01T10:00:00Z", event_type="click", campaign_id="x"),
            web("2", "2010-12-01T10:10:00Z", event_type="click", campaign_id="y"),
            web("3", "2010-12-01T10:20:00Z", event_type="purchase", order_value="100"),
            web("4", "2010-12-01T10:30:00Z", event_type="impression", campaign_id="x"),
            web("5", "2010-12-01T11:00:01Z", event_type="purchase", order_value="1000"),
            web("6", "2010-12-01T11:10:00Z", event_type="purchase", order_value="10", campaign_id="z"),
        ),
    )
    assert figures(found, "campaign_roi") == {
        (DAY, "x"): ("-40", "40", "-1"),
        (DAY, "y"): ("70", "30", "2.3333333333"),
        (DAY, "z"): ("10", "0", None),
    }


def test_a_session_ends_after_more_than_thirty_minutes() -> None:
    found = expected(
        streams=records(
            "web_logs",
            web("1", "2010-12-01T10:00:00Z", page="/first", country="GB"),
            web("2", "2010-12-01T10:30:00Z", page="/second", country="GB", event_type="click"),
            web("3", "2010-12-01T11:00:00.000001Z", page="/third", country="GB"),
        )
    )
    start = microseconds_of(datetime(2010, 12, 1, 10, tzinfo=UTC))
    again = microseconds_of(datetime(2010, 12, 1, 11, microsecond=1, tzinfo=UTC))
    shown = ("session_key", "position", "seconds_since_previous", "landing_page")
    assert [tuple(row[name] for name in shown) for row in found.silver["sessionized_web_logs"]] == [
        (f"ann@{start}", 1, None, "/first"),
        (f"ann@{start}", 2, Decimal(1800), "/first"),
        (f"ann@{again}", 1, None, "/third"),
    ]
    assert figures(found, "session_duration") == {(DAY, "uk"): ("1800", "2", "900")}
    assert figures(found, "bounce_rate") == {(DAY, "uk"): ("1", "2", "0.5")}
    assert figures(found, "engagement") == {(DAY, "uk"): ("1", "2", "0.5")}


def test_a_late_event_joins_two_sessions() -> None:
    found = expected(
        streams=records(
            "web_logs",
            web("1", "2010-12-01T10:00:00Z", page="/a", country="FR", campaign_id="x"),
            web("2", "2010-12-01T10:50:00Z", page="/b", country="FR"),
            web("3", "2010-12-01T10:25:00Z", page="/c", country="FR"),
        )
    )
    rows = by_id(found, "sessionized_web_logs")
    assert {record: (row["position"], row["landing_page"]) for record, row in rows.items()} == {
        "web_logs/shard-0/1": (1, "/a"),
        "web_logs/shard-0/3": (2, "/a"),
        "web_logs/shard-0/2": (3, "/a"),
    }
    assert {row["last_touch_campaign"] for row in rows.values()} == {"x"}
    assert figures(found, "session_duration") == {(DAY, "europe"): ("3000", "1", "3000")}
    assert figures(found, "bounce_rate") == {(DAY, "europe"): ("0", "1", "0")}


def test_a_session_over_midnight_belongs_to_the_day_it_started() -> None:
    found = expected(
        streams=records(
            "web_logs",
            web("1", "2010-12-01T23:50:00Z"),
            web("2", "2010-12-02T00:10:00.5Z", event_type="scroll"),
        )
    )
    assert figures(found, "session_duration") == {(DAY, "unknown"): ("1200.5", "1", "1200.5")}
    assert figures(found, "engagement") == {(DAY, "unknown"): ("1", "1", "1")}
    assert figures(found, "funnel_stage") == {(DAY, "view"): ("1", "1", "1")}


@pytest.mark.parametrize(
    ("fields", "visitor", "region"),
    [
        ({"session_id": "s", "client_ip": "1.2.3.4", "country": "IE"}, "ann", "uk"),
        ({"user_id": "", "session_id": "s", "country": "CH"}, "s", "europe"),
        (
            {"user_id": None, "client_ip": "1.2.3.4", "user_agent": "Opera", "country": "US"},
            "1.2.3.4|Opera",
            "overseas",
        ),
        ({"user_id": None, "client_ip": "1.2.3.4"}, "1.2.3.4|", "unknown"),
        ({"user_id": None, "user_agent": "Opera"}, "e", "unknown"),
    ],
)
def test_who_visits_and_from_where(fields: dict[str, Any], visitor: str, region: str) -> None:
    row = expected(streams=records("web_logs", web("e", "2010-12-01T10:00:00Z", **fields))).silver[
        "sessionized_web_logs"
    ]
    assert [(each["visitor_id"], each["region"]) for each in row] == [(visitor, region)]


def test_support_kpis() -> None:
    def case(number: int, status: str, time: str) -> dict[str, Any]:
        return contact(
            f"k{number}-{status}-{time}", time, "complaint", case_id=f"k{number}", status=status, channel="chat"
        )

    found = expected(
        streams=records(
            "crm",
            contact("f1", "2010-12-01T09:00:00Z", rating=5, channel="chat"),
            contact("f2", "2010-12-01T09:00:00Z", rating="4", channel="chat"),
            contact("f3", "2010-12-01T09:00:00Z", channel="chat"),
            contact("f4", "2010-12-01T09:00:00Z", rating=1),
            contact("l1", "2010-12-01T09:00:00Z", "loyalty", channel="app"),
            case(1, "opened", "2010-12-01T10:00:00Z"),
            case(1, "updated", "2010-12-01T10:00:30Z"),
            case(1, "resolved", "2010-12-01T10:01:40Z"),
            case(1, "resolved", "2010-12-01T10:02:00Z"),
            case(1, "opened", "2010-12-01T11:00:00Z"),
            case(1, "resolved", "2010-12-01T11:00:10.25Z"),
            case(2, "opened", "2010-12-01T12:00:00Z"),
            case(2, "resolved", "2010-12-01T12:16:40Z"),
            case(3, "resolved", "2010-12-01T13:00:00Z"),
            case(4, "opened", "2010-12-01T23:59:00Z"),
            case(4, "resolved", "2010-12-02T00:00:00Z"),
        )
    )
    assert figures(found, "feedback_score") == {(DAY, "chat"): ("9", "2", "4.5"), (DAY,): ("1", "1", "1")}
    assert figures(found, "interaction_volume") == {
        (DAY, "feedback", "chat"): ("3", "1", "3"),
        (DAY, "feedback"): ("1", "1", "1"),
        (DAY, "loyalty", "app"): ("1", "1", "1"),
        (DAY, "complaint", "chat"): ("10", "1", "10"),
        (NEXT, "complaint", "chat"): ("1", "1", "1"),
    }
    assert figures(found, "complaint_share") == {
        (DAY, "chat"): ("10", "13", "0.7692307692"),
        (DAY,): ("0", "1", "0"),
        (DAY, "app"): ("0", "1", "0"),
        (NEXT, "chat"): ("1", "1", "1"),
    }
    assert figures(found, "loyalty_activity") == {(DAY, "app"): ("1", "1", "1")}
    # Resolved on the first day after 100, 10.25 and 1000 seconds.
    assert figures(found, "resolution_time") == {
        (DAY, "complaint", "mean"): ("1110.25", "3", "370.0833333333"),
        (DAY, "complaint", "p50"): ("100", "1", "100"),
        (DAY, "complaint", "p90"): ("1000", "1", "1000"),
        (NEXT, "complaint", "mean"): ("60", "1", "60"),
        (NEXT, "complaint", "p50"): ("60", "1", "60"),
        (NEXT, "complaint", "p90"): ("60", "1", "60"),
    }


def test_percentiles_are_nearest_rank() -> None:
    steps = [
        contact(
            f"{number}-{status}", f"2010-12-01T10:{minute:02d}:00Z", "complaint", case_id=str(number), status=status
        )
        for number in range(1, 11)
        for status, minute in (("opened", 0), ("resolved", number))
    ]
    found = figures(expected(streams=records("crm", *steps)), "resolution_time")
    assert found[DAY, "complaint", "p50"] == ("300", "1", "300")
    assert found[DAY, "complaint", "p90"] == ("540", "1", "540")


def test_stock_kpis() -> None:
    found = expected(
        pos("T1,1,1,A,30,2.00,60.00,,,2010-12-01T10:00:00Z"),
        json_file(
            "inventory/a.jsonl",
            stock("2010-12-01T00:00:00Z", 10),
            stock("2010-12-01T12:00:00Z", 4),
            stock("2010-12-01T18:00:00Z", 0),
            stock("2010-12-01T18:00:01Z", 0),
            stock("2010-12-02T06:00:00Z", 7),
            stock("2010-12-04T06:00:01Z", 9),
        ),
    )
    assert figures(found, "stock_availability") == {
        (DAY, 5): ("2", "4", "0.5"),
        (NEXT, 5): ("1", "1", "1"),
        (date(2010, 12, 4), 5): ("1", "1", "1"),
    }
    assert figures(found, "stockouts") == {(DAY, 5): ("1", "1", "1")}
    assert figures(found, "restocks") == {(NEXT, 5): ("1", "1", "1")}
    # 10 for half a day, 4 for a quarter, 0 for the rest: 6 on average.
    assert figures(found, "inventory_turnover") == {(DAY, "toys"): ("30", "6", "5"), (NEXT, "toys"): ("0", "0", None)}
    rows = found.silver["enriched_inventory"]
    assert [(row["previous_level"], row["seconds_since_previous"]) for row in rows] == [
        (None, None),
        (10, 43_200),
        (4, 21_600),
        (0, 1),
        (0, 43_199),
        (None, None),
    ]
