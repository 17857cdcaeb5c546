"""A Region's short name, as AWS begins the ids of its zones with it: `euc1` for eu-central-1, `apse2`, `usgw1`."""

LETTERS = {"north": "n", "south": "s", "east": "e", "west": "w", "central": "c", "gov": "g"}
DIRECTIONS = {
    **LETTERS,
    **{f"{one}{other}": LETTERS[one] + LETTERS[other] for one in ("north", "south") for other in ("east", "west")},
}
# Of all there are.
LONGEST = 5


def short_name(region: str) -> str:
    """Four or five characters that no other Region has."""
    area, *directions, number = region.split("-")
    return area + "".join(DIRECTIONS.get(each, each[:1]) for each in directions) + number
