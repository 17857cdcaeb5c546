"""Every document of the estate is the committed one, to the letter.

What they must say is held by hand elsewhere (access matrix, policy suite, linter); here nothing changes unseen. After a
change on purpose: `python -m tests.infra.documents`, and read the difference.
"""

import pytest

from tests.infra.documents import documents, expected
from tests.infra.recorded_program import STACKS, with_everything


@pytest.mark.parametrize("stack", STACKS)
def test_every_document_is_the_committed_one(stack: str) -> None:
    found, wanted = documents(with_everything(stack)), expected(stack)
    assert sorted(found) == sorted(wanted)
    changed = {name: found[name] for name in wanted if found[name] != wanted[name]}
    assert changed == {}
