"""What holds for every KPI of web events, and a visit to work examples on."""

from local.meanings.meaning import Row

WEB = "silver.sessionized_web_logs"
SPEND = "silver.campaign_spend"

BOTS = "Web robots are not recognised: they count like everybody else."
VISIT = "A visit ends where a visitor does nothing for more than 30 minutes."
VISITOR = "A visitor is an account, else a cookie, else an address and browser: two people at one browser are one."
START_DAY = "A visit over midnight counts for the day on which it started."

START = "2026-03-01 23:50:00"


def event(time: str, kind: str, position: int, seconds: str | None, **more: object) -> Row:
    """An event of the visit that began at 23:50 on 1 March 2026, in the region uk."""
    row = {"event_time": time, "session_started_at": START, "event_type": kind, "region": "uk"}
    return {**row, "position": position, "seconds_since_previous": seconds, **more}


VISIT_OF_THREE = (
    event(START, "view", 1, None),
    event("2026-03-01 23:52:00", "click", 2, "120"),
    event("2026-03-02 00:01:00", "purchase", 3, "540"),
)
VISIT_OF_ONE = (event(START, "view", 1, None),)
