"""What the KPIs of the Support team mean."""

from local.meanings.meaning import Example, Meaning, Result, Row

CRM = "silver.customer_interactions"
DAY = "2026-03-01"
STEPS = "Every step of a case is an interaction: a complaint opened, updated and resolved counts three times."
MAIL = {"channel": "email"}


def _contact(kind: str, **more: object) -> Row:
    return {"event_time": "2026-03-01 10:00:00", "interaction_type": kind, "channel": "email", **more}


def _resolved(seconds: int) -> Row:
    return {
        "event_time": "2026-03-01 10:00:00",
        "interaction_type": "complaint",
        "status": "resolved",
        "resolution_seconds": str(seconds),
    }


SUPPORT = (
    Meaning(
        "feedback_score",
        "Feedback score",
        "How content are customers, from 1 to 5?",
        "The mean of all ratings given through a channel.",
        ("Every interaction with a rating, of whatever type.",),
        ("Interactions without a rating.",),
        (
            "Who is very pleased or very angry rates; the rest are silent.",
            "With few ratings a day jumps: look at the number of interactions beside it.",
        ),
        "A mean of stars, not a Net Promoter Score, which sets promoters against detractors.",
        Example(
            "Ratings of 5 and 2, and a contact without one.",
            {
                CRM: (
                    _contact("feedback", rating=5),
                    _contact("complaint", rating=2),
                    _contact("feedback", rating=None),
                )
            },
            (Result(DAY, "7.0000", "2.0000", "3.5", MAIL),),
        ),
    ),
    Meaning(
        "interaction_volume",
        "Interactions",
        "How much do customers come to us, about what and by which way?",
        "The number of interactions, by type and channel.",
        ("Every interaction in the CRM.",),
        ("Calls and mails that nobody entered.",),
        (STEPS,),
        "Contact centres count contacts; where one contact makes several entries, this is more.",
        Example(
            "Two complaints and a feedback.",
            {CRM: (_contact("complaint"), _contact("complaint"), _contact("feedback"))},
            (
                Result(DAY, "2.0000", value="2", dimensions={"interaction_type": "complaint", **MAIL}),
                Result(DAY, "1.0000", value="1", dimensions={"interaction_type": "feedback", **MAIL}),
            ),
        ),
    ),
    Meaning(
        "complaint_share",
        "Complaint share",
        "Of all that reaches us, how much is a complaint?",
        "Complaint interactions over all interactions of a channel.",
        ("Every interaction in the CRM.",),
        (),
        (STEPS, "It falls when customers praise more, with as many complaints as before."),
        "The trade's complaint rate is complaints per order or customer; this is a share of contacts.",
        Example(
            "One complaint among four interactions.",
            {CRM: (_contact("complaint"), *(_contact("feedback"),) * 3)},
            (Result(DAY, "1.0000", "4.0000", "0.25", MAIL),),
        ),
    ),
    Meaning(
        "resolution_time",
        "Time to resolution",
        "How long does a customer wait until a case is solved?",
        "Seconds from a case's opening to its resolution: mean, median (p50), and p90 (nine of ten are faster).",
        ("Each case once for every opening, on the day on which it was resolved.",),
        (
            "Cases that are still open: the longest waits are not in it until they end.",
            "Nights and weekends are not taken out: it is the time on the clock.",
            "A resolution without an opening before it.",
        ),
        (
            "The median and the p90 of a week are not the mean of its days.",
            "A case that is opened again counts from its last opening.",
            "A case that is silent for longer than its contract's gap (see customer_interactions) loses its opening.",
        ),
        "Help desks often count working hours only, and first response apart from resolution.",
        Example(
            "Four cases of 10, 20, 30 and 40 seconds.",
            {CRM: tuple(map(_resolved, (40, 10, 30, 20)))},
            (
                Result(DAY, "100.0000", "4.0000", "25", {"interaction_type": "complaint", "statistic": "mean"}),
                Result(DAY, "20.0000", "1", "20", {"interaction_type": "complaint", "statistic": "p50"}),
                Result(DAY, "40.0000", "1", "40", {"interaction_type": "complaint", "statistic": "p90"}),
            ),
        ),
    ),
    Meaning(
        "loyalty_activity",
        "Loyalty activity",
        "Is the loyalty programme used?",
        "The number of loyalty interactions through a channel.",
        ("Every interaction of the type loyalty: joining, collecting, redeeming, asking.",),
        ("Purchases with a card at the till: they are till lines.",),
        ("It counts contacts, not members: one member may make many.",),
        "Programmes are mostly measured by active members; this is by activity.",
        Example(
            "Two loyalty contacts and a feedback.",
            {CRM: (_contact("loyalty"), _contact("loyalty"), _contact("feedback"))},
            (Result(DAY, "2.0000", value="2", dimensions=MAIL),),
        ),
    ),
)
