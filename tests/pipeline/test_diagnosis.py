"""The doctor: says what keeps a run from beginning, in a sentence and in its exit status."""

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bulkcast.endpoints import WEBCAST
from bulkcast.ledger import FILE_NAME, claim
from bulkcast.model import Institution, Secret
from bulkcast.pipeline import Diagnosis, apply, doctor, prepare
from bulkcast.sandbox import SANDBOX_SID, read_fault
from tests.pipeline_harness import Harness, with_sandbox
from tests.sheets import plain


def examined(tmp_path: Path, **more: Any) -> Diagnosis:
    async def main(harness: Harness) -> Diagnosis:
        diagnosis = await doctor(harness.config, wall=harness.loop.wall)
        assert harness.sandbox.state == {}, "nothing was changed"
        return diagnosis

    return with_sandbox(tmp_path, main, **more)


WELL = {"reachability": True, "credentials": True, "clock": True}


def health(diagnosis: Diagnosis) -> dict[str, bool]:
    return {name: well for name, well, _ in diagnosis.findings}


def test_a_healthy_setup_is_found_so(tmp_path: Path) -> None:
    diagnosis = examined(tmp_path)

    assert health(diagnosis) == {**WELL, "ledger": True}
    assert diagnosis.exit_status == 0
    assert not (tmp_path / "home").exists()


def test_a_proxy_that_is_set_is_named_as_unused(tmp_path: Path) -> None:
    async def main(harness: Harness) -> Diagnosis:
        return await doctor(replace(harness.config, proxy="HTTPS_PROXY"), wall=harness.loop.wall)

    diagnosis = with_sandbox(tmp_path, main)

    assert health(diagnosis) == {**WELL, "proxy": True, "ledger": True}
    assert any("HTTPS_PROXY is set" in sentence for _, _, sentence in diagnosis.findings)


def test_a_wrong_secret_is_found(tmp_path: Path) -> None:
    diagnosis = examined(tmp_path, secret=Secret("canary-wrong"))

    assert health(diagnosis) == {**WELL, "credentials": False, "ledger": True}
    assert diagnosis.exit_status == 6
    assert "canary-wrong" not in repr(diagnosis)


@pytest.mark.parametrize(
    ("off", "words"), [(900.0, "15 min behind"), (-900.0, "15 min ahead of"), (45.0, "45 s behind")]
)
def test_a_clock_that_is_off_is_found_and_not_blamed_on_the_credentials(
    tmp_path: Path, off: float, words: str
) -> None:
    diagnosis = examined(tmp_path, clock_offset_s=off)

    assert health(diagnosis) == {**WELL, "ledger": True}
    assert f"{words} ClassIn's" in diagnosis.findings[2][2]


@pytest.mark.parametrize("fault", ["html", "redirect", "http:503"])
def test_the_clock_of_whatever_answers_in_classins_place_is_not_taken_for_its_own(
    tmp_path: Path, fault: str
) -> None:
    async def main(harness: Harness) -> Diagnosis:
        harness.sandbox.fault_for_all = read_fault(fault, WEBCAST)
        return await doctor(harness.config, wall=harness.loop.wall)

    diagnosis = with_sandbox(tmp_path, main, clock_offset_s=200.0)

    assert diagnosis.findings[2][2] == "The answer carries no time to compare with."


def test_a_wrong_clock_does_not_hide_a_wrong_secret(tmp_path: Path) -> None:
    diagnosis = examined(tmp_path, clock_offset_s=900.0, secret=Secret("wrong"))

    assert health(diagnosis)["credentials"] is False


@pytest.mark.parametrize(
    ("fault", "ends"),
    [("http:404", 6), ("redirect", 6), ("html", 5), ("http:503", 5), ("http:429", 5),
     ("code:901", 5)],
)  # fmt: skip
def test_a_server_that_is_not_classin_as_we_know_it_accepts_no_credentials(
    tmp_path: Path, fault: str, ends: int
) -> None:
    async def main(harness: Harness) -> Diagnosis:
        harness.sandbox.fault_for_all = read_fault(fault, WEBCAST)
        return await doctor(harness.config, wall=harness.loop.wall)

    diagnosis = with_sandbox(tmp_path, main)

    assert health(diagnosis)["credentials"] is False
    assert diagnosis.exit_status == ends


def test_a_server_out_of_reach_is_found(tmp_path: Path) -> None:
    async def main(harness: Harness) -> Diagnosis:
        nowhere = Institution("https://no-such-host.invalid", SANDBOX_SID)
        return await doctor(replace(harness.config, institution=nowhere), wall=harness.loop.wall)

    diagnosis = with_sandbox(tmp_path, main)

    assert health(diagnosis) == {"reachability": False, "ledger": True}
    assert diagnosis.exit_status == 5
    assert diagnosis.findings[0][2] == (
        "https://no-such-host.invalid is out of reach: no connection: the name"
        " no-such-host.invalid is not known here. Check the network, then try again."
    )


def broken(home: Path) -> None:
    ledger = home / FILE_NAME
    ledger.write_bytes(ledger.read_bytes()[:4096] + b"\0" * 4096)


def a_file(home: Path) -> None:
    shutil.rmtree(home)
    home.write_text("no folder", encoding="utf-8")


@pytest.mark.parametrize(
    ("spoil", "ends", "words"),
    [
        (broken, 6, "is damaged"),
        (lambda home: (home / FILE_NAME).write_bytes(b"x" * 5000), 6, "damaged or no ledger"),
        (lambda home: (home / FILE_NAME).unlink(), 6, "lacks part of run"),
        (a_file, 2, "cannot be written"),
    ],
    ids=["broken", "another's", "gone", "no folder"],
)
def test_a_ledger_that_no_run_could_use_is_found(
    tmp_path: Path, spoil: Callable[[Path], object], ends: int, words: str
) -> None:
    async def main(harness: Harness) -> Diagnosis:
        await harness.apply(prepare(plain(tmp_path / "term.csv", 1)))
        spoil(harness.config.home)
        return await doctor(harness.config, wall=harness.loop.wall)

    diagnosis = with_sandbox(tmp_path, main)

    assert health(diagnosis) == {**WELL, "ledger": False}
    assert diagnosis.exit_status == ends
    assert words in diagnosis.findings[-1][2]


def test_a_home_that_nobody_can_write_is_found(tmp_path: Path) -> None:
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    if mount is None or subprocess.call([mount, "-t", "tmpfs", "tmpfs", str(place)]):
        pytest.skip("nothing can be mounted here")

    def read_only() -> None:
        subprocess.run([mount, "-o", "remount,ro", str(place)], check=True)

    async def main(harness: Harness) -> Diagnosis:
        config = replace(harness.config, home=place / "home")
        await apply(prepare(plain(tmp_path / "term.csv", 1)), config, parts=harness.parts)
        read_only()
        return await doctor(config, wall=harness.loop.wall)

    try:
        diagnosis = with_sandbox(tmp_path, main)
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)

    assert health(diagnosis) == {**WELL, "ledger": False}
    assert diagnosis.exit_status == 2


def test_a_run_that_holds_the_institution_is_named(tmp_path: Path) -> None:
    async def main(harness: Harness) -> Diagnosis:
        await harness.apply(prepare(plain(tmp_path / "term.csv", 1)))
        with claim(harness.config.home, harness.config.institution, run="r9", since="noon"):
            return await doctor(harness.config, wall=harness.loop.wall)

    diagnosis = with_sandbox(tmp_path, main)

    assert diagnosis.exit_status == 7
    assert "held by run r9 (process" in diagnosis.findings[-1][2]
    assert "holds 1 run." in diagnosis.findings[-2][2]
