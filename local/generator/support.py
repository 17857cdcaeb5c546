"""Customer contacts: feedback, the loyalty programme, and complaints that are opened, worked on and resolved."""

from datetime import UTC, date, datetime, time, timedelta
from random import Random

from local.generator.chance import chance
from local.generator.events import Event
from local.generator.formats import Record
from local.sample import till_lines

FEEDBACK, LOYALTY, COMPLAINTS = 230, 85, 55
CHANNELS = ("email", "phone", "chat", "store", "app", None)
PRAISE = (
    "Lovely lanterns, thank you!",
    "Arrived quickly \u2728",
    "Tr\u00e8s joli, merci",
    "Gut verpackt \U0001f44d",
    None,
)
BLAME = (
    'The "babushka" box was broken.',
    "Two mugs missing\nfrom the second parcel",
    "D\u00e9\u00e7u: couleur fausse",
    "Charged twice for invoice\t536365",
    None,
)


def support_events(day: date, last_day: date, seed: int) -> list[Event]:
    """The contacts that begin on a day, with what follows from them up to the end of `last_day`, by time."""
    random = chance(seed, f"crm/{day}")
    customers = sorted({line.customer for line in till_lines(day)} - {""})
    end = datetime.combine(last_day + timedelta(days=1), time(0), UTC)
    events: list[Event] = []
    for number in range(FEEDBACK + LOYALTY):
        kind = "feedback" if number < FEEDBACK else "loyalty"
        events.append(
            _contact(f"int-{day:%Y%m%d}-{number:05d}", kind, random.choice(customers), _moment(day, random), random)
        )
    for number in range(COMPLAINTS):
        case = f"case-{day:%Y%m%d}-{number:04d}"
        events += [
            event for event in _case(case, random.choice(customers), _moment(day, random), random) if event.time < end
        ]
    return sorted(events, key=lambda event: event.time)


def _moment(day: date, random: Random) -> datetime:
    return datetime.combine(day, time(7), UTC) + timedelta(milliseconds=random.randrange(14 * 3_600_000))


def _contact(interaction: str, kind: str, customer: str, moment: datetime, random: Random) -> Event:
    stars = random.choices((1, 2, 3, 4, 5, None), weights=(1, 1, 3, 6, 7, 2))[0] if kind == "feedback" else None
    record: Record = {
        "interaction_id": interaction,
        "case_id": None,
        "customer_id": customer,
        "interaction_type": kind,
        "status": None,
        "channel": random.choice(CHANNELS),
        "rating": stars,
        "message_excerpt": random.choice(PRAISE) if kind == "feedback" else None,
        "timestamp": moment,
    }
    return Event("crm", customer, moment, record)


def _case(case: str, customer: str, opened: datetime, random: Random) -> list[Event]:
    """Opened, now and then updated, mostly resolved, sometimes opened and resolved again."""
    channel = random.choice(CHANNELS)
    moment = opened
    steps = [("opened", moment)]
    for _ in range(random.choice((0, 0, 1, 1, 2))):
        moment += timedelta(milliseconds=round(random.uniform(5, 240) * 60_000))
        steps.append(("updated", moment))
    if random.random() < 0.85:
        moment += timedelta(milliseconds=round(random.expovariate(1 / 300) * 60_000) + 60_000)
        steps.append(("resolved", moment))
        if random.random() < 0.1:
            steps += [("opened", moment + timedelta(hours=2)), ("resolved", moment + timedelta(hours=3, minutes=20))]
    return [
        Event("crm", case, moment, _step(f"{case}-{number}", case, customer, status, channel, moment, random))
        for number, (status, moment) in enumerate(steps)
    ]


def _step(
    interaction: str, case: str, customer: str, status: str, channel: str | None, moment: datetime, random: Random
) -> Record:
    return {
        "interaction_id": interaction,
        "case_id": case,
        "customer_id": customer,
        "interaction_type": "complaint",
        "status": status,
        "channel": channel,
        "rating": random.choice((None, 2, 3, 4)) if status == "resolved" else None,
        "message_excerpt": random.choice(BLAME),
        "timestamp": moment,
    }
