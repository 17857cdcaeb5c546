"""Fields that no contract declares: counted by name, as far as a name may be told.

Names come from records, and a record may have anything for a name: an address, a card's number, a key. What is told
goes into logs and lineage, which more people read than the tables; so only what looks like a name is told as it is.
"""

import re
from collections import Counter
from collections.abc import Iterable

MOST_FIELDS = 100
UNTOLD = "(no name)"
# Longer ones, and ones with many digits, are numbers, keys or tokens rather than names of fields.
_NAME = re.compile(r"(?!.*\d{5})[A-Za-z_][A-Za-z0-9_.-]{0,31}")


def told(name: str) -> str:
    """The name of a field, or `(no name)` for one that is no name."""
    return name if _NAME.fullmatch(name) else UNTOLD


def counted(names: Iterable[str]) -> dict[str, int]:
    """How often each undeclared field came, the 100 most frequent, in that order."""
    return dict(Counter(map(told, names)).most_common(MOST_FIELDS))
