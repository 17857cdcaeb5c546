"""What the KPIs of the Marketing team mean."""

from local.meanings.meaning import Example, Meaning, Result
from local.meanings.visits import BOTS, SPEND, START_DAY, VISIT, VISIT_OF_ONE, VISIT_OF_THREE, VISITOR, WEB

DAY = "2026-03-01"
UK = {"region": "uk"}


def _seen(kind: str, campaign: str = "spring") -> dict[str, object]:
    return {"event_time": "2026-03-01 10:00:00", "event_type": kind, "campaign_id": campaign}


MARKETING = (
    Meaning(
        "click_through_rate",
        "Click-through rate",
        "How often is a campaign clicked when it is shown?",
        "Click events of a campaign over impression events of it.",
        ("Every click and every impression that names a campaign.",),
        ("Clicks and impressions without a campaign.",),
        (
            "It can exceed 100 %: a click needs no impression here. Mails, links and posts bring clicks that nobody "
            "was shown anything for.",
            "A click on the day after the impression raises one day and lowers the other.",
            "On days without an impression it has no value.",
            BOTS,
        ),
        "Ad platforms count only clicks that follow an impression of their own, and leave robots out.",
        Example(
            "Four impressions and a click.",
            {WEB: tuple(map(_seen, ("impression",) * 4 + ("click",)))},
            (Result(DAY, "1.0000", "4.0000", "0.25", {"campaign_id": "spring"}),),
        ),
    ),
    Meaning(
        "campaign_roi",
        "Campaign return on investment",
        "Does a campaign bring in more than it costs?",
        "The value of the orders that the campaign brought, less its spend, over its spend.",
        (
            "The value of purchases whose last touch in the same visit was the campaign.",
            "The spend that was reported for the day.",
        ),
        (
            "Purchases in a later visit: who clicks today and buys tomorrow credits nobody.",
            "Returns: an order that comes back keeps its value here.",
            "What the goods cost: a return of 0 % still loses money on every piece with a cost.",
            "Purchases at the tills.",
        ),
        (
            "Spend counts on its own day: a campaign paid today that sells tomorrow loses today.",
            "A campaign without spend has no return; the table of campaigns lists it all the same.",
            VISIT,
            VISITOR,
            BOTS,
        ),
        "Ad platforms credit purchases for days or weeks after a click, and often after a mere view: theirs is higher.",
        Example(
            "Orders of 150 on a day with a spend of 100: half of it came on top.",
            {
                WEB: (
                    {
                        "event_time": "2026-03-01 10:00:00",
                        "event_type": "purchase",
                        "last_touch_campaign": "spring",
                        "order_value": "150",
                    },
                ),
                SPEND: ({"date": DAY, "campaign_id": "spring", "spend": "100"},),
            },
            (Result(DAY, "50.0000", "100.0000", "0.5", {"campaign_id": "spring"}),),
        ),
    ),
    Meaning(
        "funnel_stage",
        "Funnel",
        "Where do we lose people on the way to a purchase?",
        "The web events of each stage: impression, click, view, cart, purchase.",
        ("Every event of the stage.",),
        ("Scrolling.",),
        (
            "It counts events, not people: a stage can be larger than the one before it.",
            "The stages of one day need not be of the same people.",
            BOTS,
        ),
        "A funnel in analytics tools follows the same visitors from stage to stage; this one does not.",
        Example(
            "Two views and an addition to the cart.",
            {WEB: tuple(map(_seen, ("view", "view", "add_to_cart")))},
            (
                Result(DAY, "1.0000", value="1", dimensions={"stage": "cart"}),
                Result(DAY, "2.0000", value="2", dimensions={"stage": "view"}),
            ),
        ),
    ),
    Meaning(
        "session_duration",
        "Session duration",
        "How long do visitors stay?",
        "The time from the first to the last event of a visit, in seconds, mean over all visits.",
        ("Every visit, those of a single event with zero seconds.",),
        ("The time on the last page: nothing tells when it was left.",),
        (START_DAY, VISIT, VISITOR, "An event from another country within a visit counts for its own region.", BOTS),
        "The same way as most analytics tools; those that leave out visits of one page show more.",
        Example(
            "A visit of eleven minutes over midnight, and one of a single event.",
            {WEB: (*VISIT_OF_THREE, *VISIT_OF_ONE)},
            (Result(DAY, "660.0000", "2.0000", "330", UK),),
        ),
    ),
    Meaning(
        "bounce_rate",
        "Bounce rate",
        "How many visitors leave at once?",
        "Visits of a single event over all visits.",
        ("Every visit. A second event of any kind, scrolling too, ends the bounce.",),
        (),
        (
            START_DAY,
            "A day's rate falls while it runs: who has just come still looks like a bounce.",
            VISIT,
            VISITOR,
            BOTS,
        ),
        "Newer analytics tools call a visit of ten seconds no bounce; here time means nothing.",
        Example(
            "One visit of three events and one of a single event.",
            {WEB: (*VISIT_OF_THREE, *VISIT_OF_ONE)},
            (Result(DAY, "1.0000", "2.0000", "0.5", UK),),
        ),
    ),
    Meaning(
        "engagement",
        "Engagement",
        "How much do visitors do?",
        "Clicks, scrolls, additions to the cart and purchases per visit.",
        ("These four kinds of events, over all visits.",),
        ("Views and impressions.",),
        (START_DAY, "One visitor who scrolls a lot lifts the mean.", VISIT, VISITOR, BOTS),
        "Tools define engagement each in its own way; do not compare across tools.",
        Example(
            "A click and a purchase in two visits.",
            {WEB: (*VISIT_OF_THREE, *VISIT_OF_ONE)},
            (Result(DAY, "2.0000", "2.0000", "1", UK),),
        ),
    ),
)
