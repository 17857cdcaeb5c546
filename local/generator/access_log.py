"""The real access log's lines as web events: real visitors, agents, bots and odd requests."""

import re
from datetime import UTC, datetime

from local.generator.events import Event
from local.sample import access_log

# The closing quote of the agent is missing in one line of the real log.
COMBINED = re.compile(
    r'(?P<address>\S+) \S+ \S+ \[(?P<time>[^]]+)\] "(?P<request>.*?)" \d+ \S+ "(?P<referrer>.*?)" "(?P<agent>.*?)"?'
)


def log_events(count: int) -> list[Event]:
    """The first `count` lines as view events, in the order of the log, which is not that of their times."""
    return [_event(number, line) for number, line in enumerate(access_log()[:count], 1)]


def _event(number: int, line: str) -> Event:
    match = COMBINED.fullmatch(line)
    if match is None:
        raise ValueError(f"line {number} of the access log is not in Apache's combined format: {line[:200]}")
    time = datetime.strptime(match["time"], "%d/%b/%Y:%H:%M:%S %z").astimezone(UTC)
    return Event(
        "web_logs",
        match["address"],
        time,
        {
            "event_id": f"log-{number:06d}",
            "client_ip": match["address"],
            "user_agent": _known(match["agent"]),
            "page": match["request"].split(" ")[1],
            "event_type": "view",
            "referrer": _known(match["referrer"]),
            "timestamp": time,
        },
    )


def _known(text: str) -> str | None:
    return None if text == "-" else text
