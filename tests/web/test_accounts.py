"""Which account the page works for: what was chosen, else what a command in the terminal uses."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import sleep

import pytest

from bulkcast.errors import CannotStart
from bulkcast.model import Secret
from bulkcast.profiles import Profile, own_file, save
from bulkcast.web import accounts as module
from bulkcast.web.accounts import DEMO, ENVIRONMENT, Accounts, Choice, choice_of
from tests.file_keyring import LockedKeyring, using

SECRET = Secret("school-secret-77")
SET = {"BULKCAST_SID": "1000082", "BULKCAST_SECRET": "of-the-environment"}


def accounts(home: Path, **environ: str) -> Accounts:
    return Accounts(home, {"BULKCAST_HOME": str(home), **environ})


def profile(home: Path, name: str, sid: str = "5", root_url: str = "") -> Choice:
    save(home, Profile(name, sid, root_url), SECRET)
    return Choice("profile", name)


# ------------------------------------------------------------------ what is used unasked


def test_where_nothing_is_set_it_is_a_demo_in_a_folder_of_its_own(tmp_path: Path) -> None:
    found = accounts(tmp_path).current()

    assert found.is_demo
    assert found.home == tmp_path / "sandbox"
    assert found.choice == DEMO
    assert found.problem is None


async def test_a_demo_has_the_address_of_the_sandbox_while_that_serves(tmp_path: Path) -> None:
    demo = accounts(tmp_path)
    async with demo.rehearsals():
        config = demo.current().config

    assert config is not None
    assert config.connects_to.startswith("http://127.0.0.1:")
    assert config.credentials.is_sandbox


def test_credentials_in_the_environment_come_before_a_profile(tmp_path: Path) -> None:
    profile(tmp_path, "default")

    found = accounts(tmp_path, **SET).current()

    assert found.choice == ENVIRONMENT
    assert not found.is_demo
    assert found.config is not None
    assert found.config.institution.sid == "1000082"
    assert found.other_root_url == ""


def test_half_of_the_credentials_is_a_problem_and_no_demo(tmp_path: Path) -> None:
    found = accounts(tmp_path, BULKCAST_SID="1000082").current()

    assert (found.is_demo, found.config, found.home) == (False, None, tmp_path)
    assert "secret is not set" in str(found.problem)


def test_the_default_profile_is_used_and_another_one_only_if_it_is_named(tmp_path: Path) -> None:
    branch = profile(tmp_path, "branch", root_url="https://branch.example")
    unnamed = accounts(tmp_path).current()
    assert (unnamed.is_demo, unnamed.config, unnamed.home) == (False, None, tmp_path)
    assert "choose one of branch" in str(unnamed.problem)
    named = accounts(tmp_path, BULKCAST_PROFILE="branch").current()
    assert (named.choice, named.other_root_url) == (branch, "https://branch.example")

    default = profile(tmp_path, "default")
    assert accounts(tmp_path).current().choice == default
    missing = accounts(tmp_path, BULKCAST_PROFILE="nobody").current()
    assert "has no profile 'nobody'" in str(missing.problem)


def test_a_config_file_that_cannot_be_read_is_a_problem_and_no_demo(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("sid = ", "utf-8")

    found = accounts(tmp_path).current()

    assert not found.is_demo
    assert "cannot be read as TOML" in str(found.problem)


# ------------------------------------------------------------------ what is chosen


def test_a_choice_is_remembered_and_is_private(tmp_path: Path) -> None:
    branch = profile(tmp_path, "branch")
    accounts(tmp_path, **SET).choose(branch)

    assert accounts(tmp_path, **SET).current().choice == branch
    if os.name == "posix":
        assert (tmp_path / "page-account.json").stat().st_mode & 0o777 == 0o600

    accounts(tmp_path, **SET).choose(DEMO)
    assert accounts(tmp_path, **SET).current().is_demo


def test_a_chosen_profile_is_that_profile_whatever_the_environment_says(tmp_path: Path) -> None:
    branch = profile(tmp_path, "branch", "5", "https://branch.example")
    environ = {**SET, "BULKCAST_ROOT_URL": "https://other.example", "BULKCAST_PROFILE": "x"}
    chosen = accounts(tmp_path, **environ)

    chosen.choose(branch)

    config = chosen.current().config
    assert config is not None
    assert (config.institution.sid, config.credentials.secret) == ("5", SECRET)
    assert config.institution.root_url == "https://branch.example"


def test_a_profile_without_address_has_the_one_of_the_environment_as_in_the_terminal(
    tmp_path: Path,
) -> None:
    chosen = accounts(tmp_path, BULKCAST_ROOT_URL="https://other.example")
    chosen.choose(profile(tmp_path, "branch"))

    assert chosen.current().other_root_url == "https://other.example"


def test_the_environment_that_was_chosen_and_is_gone_is_not_asked_for(tmp_path: Path) -> None:
    accounts(tmp_path, **SET).choose(ENVIRONMENT)

    assert accounts(tmp_path).current().is_demo


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"use": 7}', '{"use": "x"}', "\0"])
def test_a_choice_that_cannot_be_read_counts_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "page-account.json").write_text(text, "utf-8")

    assert accounts(tmp_path).current().is_demo


def test_a_chosen_profile_that_is_gone_is_a_problem_and_no_demo(tmp_path: Path) -> None:
    chosen = accounts(tmp_path)
    chosen.choose(profile(tmp_path, "branch"))
    (tmp_path / "config.toml").unlink()

    found = chosen.current()

    assert not found.is_demo
    assert "has no profile 'branch'" in str(found.problem)


@pytest.mark.parametrize("choice", [ENVIRONMENT, Choice("profile", "nobody")])
def test_what_is_not_there_cannot_be_chosen(tmp_path: Path, choice: Choice) -> None:
    with pytest.raises(CannotStart):
        accounts(tmp_path).choose(choice)


@pytest.mark.parametrize("choice", [DEMO, ENVIRONMENT, Choice("profile", "学校: A")])
def test_a_choice_survives_a_form(choice: Choice) -> None:
    assert choice_of(str(choice)) == choice


# ------------------------------------------------------------------ when it is read


def test_the_account_is_read_again_only_when_its_files_have_changed(tmp_path: Path) -> None:
    learnt: list[Secret] = []
    chosen = Accounts(tmp_path, {"BULKCAST_HOME": str(tmp_path)}, learnt.append)
    chosen.choose(profile(tmp_path, "branch"))

    chosen.current()
    chosen.current()
    before = len(learnt)
    for _ in range(3):
        chosen.current()
    assert len(learnt) == before

    save(tmp_path, Profile("branch", "6"), Secret("another-secret-78"))
    found = chosen.current().config
    assert found is not None
    assert found.institution.sid == "6"
    assert set(learnt) == {SECRET, Secret("another-secret-78")}


def test_a_secret_that_is_changed_with_an_editor_is_used_from_then_on(tmp_path: Path) -> None:
    chosen = accounts(tmp_path)
    chosen.choose(profile(tmp_path, "branch"))
    chosen.current()
    chosen.current()

    (tmp_path / own_file("branch")).write_text("edited-secret-79\n", "utf-8")

    config = chosen.current().config
    assert config is not None
    assert config.credentials.secret == Secret("edited-secret-79")


def test_a_keyring_that_is_locked_is_asked_once_by_however_many_requests(tmp_path: Path) -> None:
    asked: list[str] = []

    class Slow(LockedKeyring):
        def get_password(self, service: str, username: str) -> str | None:
            asked.append(username)
            sleep(0.1)
            return super().get_password(service, username)

    (tmp_path / "config.toml").write_text(
        '[profiles.default]\nsid = "5"\nsecret_in = "keyring"\n', "utf-8"
    )
    waiting = accounts(tmp_path)
    with using(Slow(tmp_path / "r")), ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: waiting.current(), range(8)))
        waiting.reload()
        waiting.current()

    assert asked == ["default/5"] * 2
    assert all("unlock it" in str(one.problem) for one in found)


async def test_what_was_tried_waits_ten_minutes_and_is_forgotten_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trying = accounts(tmp_path)
    name = await trying.try_out(Profile("branch", "5", "http://127.0.0.1:9"), SECRET, "en")
    assert trying.tried(name) is not None
    assert SECRET.reveal() not in repr(trying.tried(name))

    monkeypatch.setattr(module, "_TRIED_S", -1.0)

    assert trying.tried(name) is None
    with pytest.raises(CannotStart):
        await trying.save(name)
    assert not (tmp_path / "config.toml").exists()
