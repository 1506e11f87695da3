"""A mended sheet beside the sheet it takes the place of."""

from pathlib import Path

import pytest

from bulkcast.pipeline import Comparison, Prepared, compare_problems, prepare
from tests.sheets import write


def sheet(path: Path, *rows: str) -> Prepared:
    return prepare(write(path, "activityId,recordState\n" + "".join(f"{row}\n" for row in rows)))


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (["1,1", "2,1", "3,1"], Comparison(gone=2, left=0, new=0)),
        (["1,maybe", "2,perhaps", "3,1"], Comparison(gone=0, left=2, new=0)),
        (["1,1", "2,other", "3,1"], Comparison(gone=1, left=1, new=0)),
        (["1,1", "2,1", "x,1"], Comparison(gone=2, left=0, new=1)),
        (["9,1", "1,maybe", "2,perhaps"], Comparison(gone=0, left=2, new=0)),
    ],
    ids=["mended", "as before", "still wrong", "a new one", "moved"],
)
def test_problems_gone_left_and_new(tmp_path: Path, after: list[str], expected: Comparison) -> None:
    before = sheet(tmp_path / "before.csv", "1,maybe", "2,perhaps", "3,1")
    assert compare_problems(before, sheet(tmp_path / "after.csv", *after)) == expected
