"""A database's address: what messages show of it never has the password."""

import pytest

from bulkcast.database_url import connection_string, shown
from bulkcast.errors import CannotStart
from tests.cli_runner import CANARY


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://li:p@{CANARY}@db.school.cn/bulkcast",
        f"postgresql://li:{CANARY}/x@db.school.cn/bulkcast",
        f"postgresql://li:{CANARY}%zz@db.school.cn/bulkcast",
        f"postgresql://li:{CANARY}%ff@db.school.cn/bulkcast",
        f"postgresql://li:{CANARY}\udcff@db.school.cn/bulkcast",
    ],
)
def test_a_password_that_is_not_encoded_is_refused_and_not_shown(url: str) -> None:
    for use in (shown, connection_string):
        with pytest.raises(CannotStart) as caught:
            use(url)
        assert CANARY not in str(caught.value)
