"""Profiles in config.toml: what is kept beside them, and where their secrets go."""

import os
import stat
import tomllib
from pathlib import Path
from typing import Any

import pytest
from keyring.backends import null

from bulkcast.config import KEYRING, load
from bulkcast.errors import CannotStart
from bulkcast.model import Secret
from bulkcast.profiles import (
    Profile,
    checked_name,
    checked_secret,
    checked_sid,
    checked_url,
    listed,
    own_file,
    remove,
    save,
)
from tests.file_keyring import FileKeyring, LockedKeyring, using

SECRET = Secret("school-secret-77")
POSIX = pytest.mark.skipif(os.name != "posix", reason="file modes mean little here")

WRITTEN = """\
# Our schools
title = "kept"        # and this

[profiles.default]    # the main one
sid = "1000082"
secret_file = "mine.secret"

[other]
x = [1, 2]

[profiles.branch]
sid = "1000083"
# what follows is for the branch
root_url = "https://branch.example"
"""


def config_of(home: Path, text: str = WRITTEN) -> Path:
    path = home / "config.toml"
    path.write_text(text, "utf-8")
    return path


def read(home: Path) -> dict[str, Any]:
    return tomllib.loads((home / "config.toml").read_text("utf-8"))


# ------------------------------------------------------------------ the file


def test_a_new_profile_stands_behind_what_the_user_wrote(tmp_path: Path) -> None:
    config_of(tmp_path)

    save(tmp_path, Profile("学校 A", "1000084"), SECRET)

    text = (tmp_path / "config.toml").read_text("utf-8")
    assert text.startswith(WRITTEN.rstrip("\n"))
    assert read(tmp_path)["profiles"]["学校 A"] == {
        "sid": "1000084", "secret_file": own_file("学校 A"),
    }  # fmt: skip


def test_a_changed_profile_keeps_its_comments_and_its_neighbours(tmp_path: Path) -> None:
    config_of(tmp_path)

    save(tmp_path, Profile("branch", "1000099"), SECRET)

    text = (tmp_path / "config.toml").read_text("utf-8")
    for kept in ("# Our schools", "# and this", "# the main one", "# what follows"):
        assert kept in text
    wanted = tomllib.loads(WRITTEN)
    wanted["profiles"]["branch"] = {"sid": "1000099", "secret_file": own_file("branch")}
    assert read(tmp_path) == wanted


def test_a_removed_profile_takes_nothing_else_with_it(tmp_path: Path) -> None:
    config_of(tmp_path)

    remove(tmp_path, "default")
    remove(tmp_path, "nobody")

    wanted = tomllib.loads(WRITTEN)
    del wanted["profiles"]["default"]
    assert read(tmp_path) == wanted
    assert "# Our schools" in (tmp_path / "config.toml").read_text("utf-8")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[profiles]\n",
        '[profiles]\ndefault = { sid = "1" }\n',
        'profiles.default.sid = "1"\n',
        '[profiles.default]\nsid = "1"\n\n[profiles.branch]\r\nsid = "2"\r\n',
        '\ufeff[profiles.default]\nsid = "1"\n',
    ],
)
def test_however_it_is_written_every_profile_can_be_added_changed_and_removed(
    tmp_path: Path, text: str
) -> None:
    config_of(tmp_path, text)

    save(tmp_path, Profile("new", "5", "http://127.0.0.1:9"), SECRET)
    save(tmp_path, Profile("default", "6"), SECRET)
    assert {p.name: p.sid for p in listed(tmp_path)}.items() >= {"new": "5", "default": "6"}.items()

    for profile in listed(tmp_path):
        remove(tmp_path, profile.name)
    assert not listed(tmp_path)


@pytest.mark.parametrize("text", ["profiles = 7\n", "[profiles.branch]\nx = \n", "\0"])
def test_a_file_that_cannot_be_changed_stays_as_it_is(tmp_path: Path, text: str) -> None:
    path = config_of(tmp_path, text)

    with pytest.raises(CannotStart, match=r"config\.toml"):
        save(tmp_path, Profile("new", "5"), SECRET)

    assert path.read_text("utf-8") == text


@POSIX
def test_only_the_owner_can_read_what_is_written(tmp_path: Path) -> None:
    config_of(tmp_path).chmod(0o644)

    save(tmp_path, Profile("new", "5"), SECRET)

    for name in ("config.toml", own_file("new")):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


def test_a_link_to_the_file_stays_one(tmp_path: Path) -> None:
    (tmp_path / "dotfiles").mkdir()
    real = config_of(tmp_path / "dotfiles")
    (tmp_path / "config.toml").symlink_to(real)

    save(tmp_path, Profile("new", "5"), SECRET)

    assert (tmp_path / "config.toml").is_symlink()
    assert "new" in tomllib.loads(real.read_text("utf-8"))["profiles"]


@pytest.mark.parametrize("name", ["../../etc/passwd", "CON", "a/b", "a\\b", "学校", ".", "x" * 60])
def test_no_name_of_a_profile_is_taken_for_a_path(tmp_path: Path, name: str) -> None:
    save(tmp_path, Profile(name, "5"), SECRET)

    assert {path.parent for path in tmp_path.rglob("*.secret")} == {tmp_path}
    environ = {"BULKCAST_HOME": str(tmp_path)}
    assert load(environ, profile=name).credentials.secret == SECRET


# ------------------------------------------------------------------ secrets


def test_without_a_keyring_the_secret_lies_in_a_file_and_is_loaded_from_there(
    tmp_path: Path,
) -> None:
    saved = save(tmp_path, Profile("branch", "5"), SECRET)

    assert (saved.secret_in, saved.secret_file) == ("", own_file("branch"))
    found = load({"BULKCAST_HOME": str(tmp_path)}, profile="branch")
    assert found.credentials.secret == SECRET
    assert found.origins["secret"].startswith("config.toml")


class Broken(FileKeyring):
    """One that cannot be used here, as without a session bus."""

    @property
    def priority(self) -> float:  # type: ignore[override] # of the class there, or of an object
        """None."""
        raise RuntimeError("no bus")


def test_a_keyring_that_keeps_nothing_or_cannot_be_used_counts_as_none(tmp_path: Path) -> None:
    keeps_nothing = null.Keyring()  # type: ignore[no-untyped-call] # the library's
    for number, ring in enumerate((keeps_nothing, Broken(tmp_path / "r"))):
        with using(ring):
            saved = save(tmp_path, Profile(f"branch {number}", "5"), SECRET)

        assert saved.secret_file == own_file(saved.name)
    assert not (tmp_path / "r").exists()


def test_with_a_keyring_the_secret_is_in_no_file_of_bulkcast(tmp_path: Path) -> None:
    ring = FileKeyring(tmp_path / "ring.json")
    home = tmp_path / "home"
    with using(ring):
        saved = save(home, Profile("branch", "5"), SECRET)
        found = load({"BULKCAST_HOME": str(home)}, profile="branch")

    assert saved.secret_in == KEYRING
    assert ring.entries() == {"bulkcast branch/5": SECRET.reveal()}
    assert found.credentials.secret == SECRET
    assert found.origins["secret"] == KEYRING
    for path in home.rglob("*"):
        assert SECRET.reveal() not in path.read_text("utf-8")


def test_a_secret_moves_into_a_keyring_that_is_there_by_now_and_leaves_no_copy(
    tmp_path: Path,
) -> None:
    save(tmp_path, Profile("branch", "5"), SECRET)
    ring = FileKeyring(tmp_path / "ring.json")

    with using(ring):
        save(tmp_path, Profile("branch", "6"), SECRET)
        assert not list(tmp_path.glob("*.secret"))
        save(tmp_path, Profile("branch", "7"), SECRET)
        assert list(ring.entries()) == ["bulkcast branch/7"]
        remove(tmp_path, "branch")
    assert ring.entries() == {}


def test_a_file_of_the_users_own_is_neither_overwritten_nor_removed(tmp_path: Path) -> None:
    config_of(tmp_path)
    own = tmp_path / "mine.secret"
    own.write_text("mine\n", "utf-8")
    own.chmod(0o600)

    kept = save(tmp_path, Profile("default", "1000082"), None)
    assert kept.secret_file == own.name
    save(tmp_path, Profile("default", "1000082"), SECRET)
    remove(tmp_path, "default")

    assert own.read_text("utf-8") == "mine\n"
    assert [path.name for path in tmp_path.glob("*.secret")] == ["mine.secret"]


def test_a_keyring_that_takes_no_secret_leaves_everything_as_it_is(tmp_path: Path) -> None:
    path = config_of(tmp_path)

    with using(LockedKeyring(tmp_path / "r")), pytest.raises(CannotStart) as caught:
        save(tmp_path, Profile("branch", "5"), SECRET)

    assert "KeyringLocked" in str(caught.value)
    assert SECRET.reveal() not in str(caught.value)
    assert path.read_text("utf-8") == WRITTEN


# ------------------------------------------------------------------ what is accepted


@pytest.mark.parametrize("text", ["", "  ", "x" * 61, "a\nb", "a\u202eb", "\x1b[31m"])
def test_a_name_that_cannot_be_shown_or_typed_is_refused(text: str) -> None:
    with pytest.raises(CannotStart):
        checked_name(text)


@pytest.mark.parametrize("text", ["", "abc", "１２", "-1", "1.0", "school-secret-77", "1" * 21])
def test_a_sid_that_is_no_number_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(CannotStart) as caught:
        checked_sid(text)
    assert str(caught.value) == "the SID should be digits, such as 1000082"


@pytest.mark.parametrize("text", ["", " \n", "a\0b", "a\u200bb"])
def test_what_is_no_secret_is_refused(text: str) -> None:
    with pytest.raises(CannotStart):
        checked_secret(text)


@pytest.mark.parametrize(
    "text",
    [
        "http://api.eeo.cn", "ftp://127.0.0.1", "https://user:pw@api.eeo.cn",
        "https://api.eeo.cn/path", "https://api.eeo.cn?x=1", "https://api.eeo.cn#x", "api.eeo.cn",
        "javascript:alert(1)", "file:///etc/passwd", "http://127.0.0.1.evil.example",
        "http://169.254.169.254", "http://[::ffff:10.0.0.1]", "https://", "https://a b",
        "http://localhost.evil.example:80", "http://0.0.0.0:80", "https://api.eeo.cn:0",
    ],
)  # fmt: skip
def test_an_address_is_https_or_this_computer_and_nothing_more(text: str) -> None:
    with pytest.raises(CannotStart) as caught:
        checked_url(text)
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", ""), ("https://api.eeo.cn/", ""), ("HTTPS://API.EEO.CN:443", ""),
        ("http://127.0.0.1:8350", "http://127.0.0.1:8350"),
        (" https://other.example/ ", "https://other.example"),
    ],
)  # fmt: skip
def test_the_usual_address_is_not_written_down(text: str, wanted: str) -> None:
    assert checked_url(text) == wanted


def test_a_profile_keeps_the_variable_of_its_secret_until_it_gets_another(tmp_path: Path) -> None:
    config_of(tmp_path, '[profiles.server]\nsid = "1"\nsecret_env = "SERVER_SECRET"\n')

    (before,) = listed(tmp_path)
    save(tmp_path, Profile("server", "2"), None)
    kept = read(tmp_path)["profiles"]["server"]
    keeps_nothing = null.Keyring()  # type: ignore[no-untyped-call] # the library's
    with using(keeps_nothing):
        save(tmp_path, Profile("server", "2"), SECRET)

    assert before.secret_env == "SERVER_SECRET"  # noqa: S105 - the name of a variable
    assert kept == {"sid": "2", "secret_env": "SERVER_SECRET"}
    assert "secret_env" not in read(tmp_path)["profiles"]["server"]
