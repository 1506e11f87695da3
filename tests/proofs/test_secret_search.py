"""The search for canaries finds them in every form, or finding none would mean nothing."""

import base64
import hashlib
import json
import zipfile
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.measured_figures import added_up, canaries, table
from tests.secret_search import forms, leaks

SECRET = "canary-Zx+9/Test"  # noqa: S105 - a word to look for
SIGNATURE = hashlib.md5(b"any", usedforsecurity=False).hexdigest()


@pytest.mark.parametrize(
    "written",
    [
        SECRET, SECRET.encode().hex(), SECRET.encode().hex().upper(), SECRET[::-1],
        quote(SECRET, safe=""), quote_plus(SECRET), json.dumps(SECRET),
        base64.b64encode(f"a{SECRET}".encode()).decode(),
        base64.urlsafe_b64encode(f"ab{SECRET}c".encode()).decode(), "X-EEO-SIGN: 1",
    ],
)  # fmt: skip
def test_a_canary_is_found_in_whatever_form(written: str, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    planted = tmp_path / "deep" / "log"
    planted.write_text(f"...{written}...", "utf-8")

    size, found = canaries(tmp_path, [SECRET])

    planted.unlink()  # or the suite's own search would find it

    assert size == len(written) + 6
    assert found == ["a secret lies in log"]


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_in_base64_it_is_found_between_any_neighbours(before: bytes, after: bytes) -> None:
    packed = base64.b64encode(before + SECRET.encode() + after)

    assert any(form in packed for form in forms(SECRET))


def test_a_canary_is_found_in_a_workbook(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.xlsx", "w", zipfile.ZIP_DEFLATED) as book:
        book.writestr("xl/sharedStrings.xml", f"<t>{SECRET}</t>" * 50)

    assert canaries(tmp_path, [SECRET])[1] == ["a secret lies in a.xlsx/xl/sharedStrings.xml"]


@pytest.mark.parametrize(
    "written",
    [SIGNATURE, SIGNATURE.encode().hex(), base64.b64encode(SIGNATURE.encode()).decode()],
)
def test_a_signature_is_found(written: str, tmp_path: Path) -> None:
    (tmp_path / "log").write_text(f"sign={written}!", "utf-8")

    assert list(leaks([tmp_path], [], {SIGNATURE})) == ["a signature lies in log"]
    assert list(leaks([tmp_path], [], {SIGNATURE[::-1]})) == []


def test_figures_add_up_and_those_not_measured_are_dashes() -> None:
    found = added_up([("kills", 20), ("kills", 30), ("sends for each row, calm", "1.000"),
                      ("rows of 20,000 given up, calm", 0)])  # fmt: skip

    lines = table(found)

    assert lines[0].split()[-1] == "50"
    assert lines[3].split()[-1] == "-"
    assert any("calm" in line and line.endswith("0 / 1.000") for line in lines)
