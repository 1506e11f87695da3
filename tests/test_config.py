"""Configuration: which value wins, what is refused in which words, and that secrets stay secret."""

import os
import subprocess
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from bulkcast.config import (
    DEFAULT_ROOT_URL,
    KEYRING,
    Config,
    home,
    institution_of,
    load,
    load_all,
    member,
    of_proxy,
    profile_names,
    secret_variables,
)
from bulkcast.errors import CannotStart
from bulkcast.home import SharedHome
from bulkcast.model import Credentials, Institution, Secret
from tests.file_keyring import FileKeyring, LockedKeyring, using

CANARY = "canary-Mb7SR6H"
POSIX = pytest.mark.skipif(os.name != "posix", reason="file modes mean little here")


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    return {"BULKCAST_HOME": str(tmp_path), **more}


def complete(tmp_path: Path, **more: str) -> dict[str, str]:
    return environment(tmp_path, BULKCAST_SID="1000082", BULKCAST_SECRET=CANARY, **more)


def secret_file(path: Path, content: bytes = CANARY.encode()) -> Path:
    path.write_bytes(content)
    path.chmod(0o600)
    return path


def profiles(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.toml").write_text(text, "utf-8")


def refused(environ: Mapping[str, str], profile: str | None = None) -> str:
    """The sentence with which a configuration is refused; the secret is nowhere in it."""
    with pytest.raises(CannotStart) as caught:
        load(environ, profile=profile)
    told = "".join(traceback.format_exception(caught.value))
    assert CANARY not in told
    return str(caught.value)


# ------------------------------------------------------------------ which value wins


def test_the_environment_alone_is_enough(tmp_path: Path) -> None:
    config = load(complete(tmp_path))

    assert config.institution.sid == config.credentials.sid == "1000082"
    assert config.institution.root_url == DEFAULT_ROOT_URL
    assert config.credentials.secret == Secret(CANARY)
    assert config.home == tmp_path
    assert config.origins == {
        "sid": "BULKCAST_SID", "secret": "BULKCAST_SECRET", "root_url": "default",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
def test_a_proxy_of_the_environment_is_named_as_unused(tmp_path: Path, name: str) -> None:
    proxied = load(complete(tmp_path, **{name: "http://proxy.school.example:3128"}))

    assert str(of_proxy(proxied)).startswith(f"{name} is set, but bulkcast uses no proxy")
    assert "school.example" not in repr(proxied)
    assert of_proxy(load(complete(tmp_path))) is None


def test_a_profile_alone_is_enough_and_its_secret_lies_beside_it(tmp_path: Path) -> None:
    secret_file(tmp_path / "classin.secret")
    profiles(
        tmp_path,
        '[profiles.default]\nsid = "1000083"\nsecret_file = "classin.secret"\n'
        'root_url = "http://127.0.0.1:8080/"\n',
    )

    config = load(environment(tmp_path))

    assert config.institution.sid == "1000083"
    assert config.institution.root_url == "http://127.0.0.1:8080"
    assert config.credentials.secret == Secret(CANARY)
    assert set(config.origins.values()) == {"config.toml"}


@pytest.mark.parametrize(
    ("chosen", "argument", "sid"),
    [("", None, "1"), ("branch", None, "2"), ("", "branch", "2"), ("branch", "third", "3")],
)
def test_the_profile_asked_for_wins_over_the_environments_over_the_default(
    tmp_path: Path, chosen: str, argument: str | None, sid: str
) -> None:
    profiles(
        tmp_path,
        '[profiles.default]\nsid = "1"\n'
        '[profiles.branch]\nsid = "2"\n'
        '[profiles.third]\nsid = "3"\n',
    )
    environ = environment(tmp_path, BULKCAST_SECRET=CANARY, BULKCAST_PROFILE=chosen)

    assert load(environ, profile=argument).institution.sid == sid


def test_the_environment_wins_over_a_profile_value_by_value(tmp_path: Path) -> None:
    secret_file(tmp_path / "other.secret", b"other")
    profiles(tmp_path, '[profiles.default]\nsid = "1"\nsecret_file = "other.secret"\n')

    config = load(environment(tmp_path, BULKCAST_SECRET=CANARY))

    assert config.institution.sid == "1"
    assert config.credentials.secret == Secret(CANARY)
    assert config.origins == {
        "sid": "config.toml", "secret": "BULKCAST_SECRET", "root_url": "default",
    }  # fmt: skip


def test_what_the_environment_names_is_not_taken_from_a_profile(tmp_path: Path) -> None:
    secret_file(tmp_path / "s")
    profiles(
        tmp_path,
        '[profiles.default]\nsid = "1"\nroot_url = "https://one.example"\nsecret_file = "no"\n',
    )
    named = {"SID": "2", "ROOT_URL": "https://two.example", "SECRET_FILE": str(tmp_path / "s")}

    config = load(environment(tmp_path, **{f"BULKCAST_{k}": v for k, v in named.items()}))

    assert config.institution == Institution("https://two.example", "2")
    assert set(config.origins.values()) == {f"BULKCAST_{name}" for name in named}


def test_a_secret_itself_wins_over_a_file_of_one(tmp_path: Path) -> None:
    file = secret_file(tmp_path / "s", b"from the file")

    config = load(complete(tmp_path, BULKCAST_SECRET_FILE=str(file)))

    assert config.credentials.secret == Secret(CANARY)


def test_blank_variables_count_as_not_set(tmp_path: Path) -> None:
    secret_file(tmp_path / "s")
    profiles(tmp_path, '[profiles.default]\nsid = "1"\nsecret_file = "s"\n')
    blank = {"SID": " ", "SECRET": "  ", "SECRET_FILE": "", "PROFILE": " ", "ROOT_URL": ""}

    config = load(environment(tmp_path, **{f"BULKCAST_{k}": v for k, v in blank.items()}))

    assert config.institution.sid == "1"
    assert config.institution.root_url == DEFAULT_ROOT_URL


def test_a_secrets_file_in_the_environment_is_meant_from_where_the_command_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "here", tmp_path / "home"
    here.mkdir()
    there.mkdir()
    secret_file(here / "classin.secret")
    monkeypatch.chdir(here)
    named = {"BULKCAST_SID": "1", "BULKCAST_SECRET_FILE": "classin.secret"}
    environ = environment(there, **named)

    assert load(environ).credentials.secret == Secret(CANARY)


def test_the_home_folder_may_be_named_with_a_tilde(monkeypatch: pytest.MonkeyPatch) -> None:
    assert home({"BULKCAST_HOME": "~/bulk"}) == Path.home() / "bulk"
    assert home({}).name == "bulkcast"


# ------------------------------------------------------------------ the secret's file


@pytest.mark.parametrize(
    "content",
    [
        CANARY.encode() + b"\n",
        CANARY.encode() + b"\r\n",
        b"\xef\xbb\xbf" + CANARY.encode(),
        b"\xef\xbb\xbf  " + CANARY.encode() + b" \r\n\r\n",
    ],
    ids=["a newline", "Windows' newline", "a byte order mark", "all of it"],
)
def test_what_an_editor_adds_to_the_secret_is_taken_off(tmp_path: Path, content: bytes) -> None:
    file = secret_file(tmp_path / "s", content)
    environ = environment(tmp_path, BULKCAST_SID="1", BULKCAST_SECRET_FILE=str(file))

    assert load(environ).credentials.secret == Secret(CANARY)


@POSIX
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o620, 0o602, 0o610, 0o777])
def test_a_secret_that_lies_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    file = secret_file(tmp_path / "s")
    file.chmod(mode)
    environ = environment(tmp_path, BULKCAST_SID="1", BULKCAST_SECRET_FILE=str(file))

    sentence = refused(environ)

    assert sentence == f"others can read the secret's file {file}; run chmod 600 on it"


@POSIX
@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_a_secret_only_its_owner_can_read_is_taken(tmp_path: Path, mode: int) -> None:
    file = secret_file(tmp_path / "s")
    file.chmod(mode)
    environ = environment(tmp_path, BULKCAST_SID="1", BULKCAST_SECRET_FILE=str(file))

    assert load(environ).credentials.secret == Secret(CANARY)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "must hold one line: the secret"),
        (b" \n\n", "must hold one line: the secret"),
        (f"{CANARY}\n{CANARY}".encode(), "must hold one line: the secret"),
        (f"{CANARY}".encode("utf-16"), "cannot be read: it is no text in UTF-8"),
        (f"{CANARY}\0".encode(), "holds characters that cannot be typed"),
        (f"{CANARY}\u200b{CANARY}".encode(), "holds characters that cannot be typed"),
    ],
)
def test_a_file_that_holds_no_secret_is_refused(
    tmp_path: Path, content: bytes, sentence: str
) -> None:
    file = secret_file(tmp_path / "s", content)
    environ = environment(tmp_path, BULKCAST_SID="1", BULKCAST_SECRET_FILE=str(file))

    said = refused(environ)

    assert sentence in said
    assert str(file) in said


def test_a_secrets_file_that_is_not_there_or_a_folder_is_refused(tmp_path: Path) -> None:
    for name in ("missing", "."):
        environ = environment(tmp_path, BULKCAST_SID="1", BULKCAST_SECRET_FILE=str(tmp_path / name))
        assert "cannot be read: " in refused(environ)


# ------------------------------------------------------------------ what is refused


def test_where_no_profile_is_chosen_they_are_named(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(
        '[profiles.south]\nsid = "1000083"\n[profiles.north]\nsid = "1000082"\n'
    )
    assert refused(environment(tmp_path)) == (
        "none of the institutions in config.toml is chosen: add --profile with one of north, south"
    )


def test_a_missing_sid_says_what_to_set(tmp_path: Path) -> None:
    assert refused(environment(tmp_path, BULKCAST_SECRET=CANARY)) == (
        "the institution's SID is not set: set BULKCAST_SID, or use --sandbox to try without an"
        " account"
    )


def test_a_missing_secret_says_what_to_set(tmp_path: Path) -> None:
    assert refused(environment(tmp_path, BULKCAST_SID="1")) == (
        "the institution's secret is not set: set BULKCAST_SECRET or BULKCAST_SECRET_FILE, or use"
        " --sandbox to try without an account"
    )


@pytest.mark.parametrize("sid", [CANARY, "1.0", "-1", "１２３", "1 2", "12a"])
def test_a_sid_of_anything_but_digits_is_refused_and_not_repeated(tmp_path: Path, sid: str) -> None:
    """Whoever mixes up the two variables has put the secret there."""
    sentence = refused(complete(tmp_path) | {"BULKCAST_SID": sid})

    assert sentence == "the SID from BULKCAST_SID should be digits, such as 1000082"


def test_a_wrong_sid_in_a_profile_is_not_blamed_on_the_environment(tmp_path: Path) -> None:
    profiles(tmp_path, '[profiles.default]\nsid = "school"\n')

    assert "from config.toml" in refused(environment(tmp_path, BULKCAST_SECRET=CANARY))


def test_a_secret_that_cannot_be_signed_with_is_refused(tmp_path: Path) -> None:
    """What a shell passes on that is no UTF-8 arrives as half surrogate pairs."""
    environ = complete(tmp_path) | {"BULKCAST_SECRET": f"{CANARY}\udcff"}

    assert refused(environ).startswith("BULKCAST_SECRET holds characters that cannot be typed")


@pytest.mark.parametrize("profile", ["branch", "Default", "a b", "秘密"])
def test_a_profile_that_is_not_there_is_refused(tmp_path: Path, profile: str) -> None:
    profiles(tmp_path, '[profiles.default]\nsid = "1"\n')

    for asked in (
        refused(complete(tmp_path), profile),
        refused(complete(tmp_path, BULKCAST_PROFILE=profile)),
    ):
        assert asked.endswith(f"has no profile {profile!r}; add [profiles.{profile}]")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("sid = ", "cannot be read as TOML"),
        ("[profiles.default]\nsid = 1000082\n", "must hold texts in quotes only"),
        ("[profiles]\ndefault = 7\n", "must hold texts in quotes only"),
        ("[profiles.default]\nnested = {sid = '1'}\n", "must hold texts in quotes only"),
        (f'[profiles.default]\nsecret = "{CANARY}"\n', "put it in a file of its own"),
        (
            '[profiles.default]\nSID = "1"\n',
            "has 'SID'; it may have root_url, secret_env, secret_file, secret_in, sid",
        ),
        (
            '[profiles.default]\nsecret_env = "no name"\n',
            "has a secret_env that is no name of a variable",
        ),
    ],
)
def test_a_config_file_that_makes_no_sense_is_refused(
    tmp_path: Path, text: str, sentence: str
) -> None:
    profiles(tmp_path, text)

    said = refused(complete(tmp_path))

    assert sentence in said
    assert str(tmp_path / "config.toml") in said


@pytest.mark.parametrize("text", ["profiles = 7", "", "[other]\nx = 1", "[profiles]"])
def test_a_config_file_without_profiles_says_nothing(tmp_path: Path, text: str) -> None:
    profiles(tmp_path, text)

    assert load(complete(tmp_path)).institution.sid == "1000082"


def test_a_config_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_bytes(b'\xef\xbb\xbf[profiles.default]\r\nsid = "7"\r\n')

    assert load(environment(tmp_path, BULKCAST_SECRET=CANARY)).institution.sid == "7"


@pytest.mark.parametrize("content", [b"\xff\xfe\0\0", b"\0", b"sid = '\xff'"])
def test_a_config_file_that_is_no_text_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config.toml").write_bytes(content)

    assert "cannot be read as TOML" in refused(complete(tmp_path))


@POSIX
def test_the_folder_of_an_unknown_user_is_refused(tmp_path: Path) -> None:
    sentence = "names the folder of a user who is not known here"
    unknown = "~no-such-user-here/x"

    assert sentence in refused(complete(tmp_path) | {"BULKCAST_HOME": unknown})
    assert sentence in refused(
        environment(tmp_path, BULKCAST_SID="1", BULKCAST_SECRET_FILE=unknown)
    )


# ------------------------------------------------------------------ secrecy


def test_no_print_of_a_configuration_shows_the_secret(tmp_path: Path) -> None:
    config: Config = load(complete(tmp_path))

    for shown in (repr(config), str(config), f"{config.credentials}", f"{config.credentials!r}"):
        assert CANARY not in shown
        assert "•••" in shown


# ------------------------------------------------------------------ the keyring


IN_KEYRING = '[profiles.default]\nsid = "1000083"\nsecret_in = "keyring"\n'


def test_a_secret_is_taken_from_the_keyring_that_the_profile_names(tmp_path: Path) -> None:
    profiles(tmp_path, IN_KEYRING)
    ring = FileKeyring(tmp_path / "ring.json")
    ring.set_password("bulkcast", "default/1000083", "of the keyring")

    with using(ring):
        config = load(environment(tmp_path))
        own = load(environment(tmp_path, BULKCAST_SECRET="of the environment"))  # noqa: S106 - no real one
        file = secret_file(tmp_path / "s", b"of a file")
        of_file = load(environment(tmp_path, BULKCAST_SECRET_FILE=str(file)))

    assert config.credentials.secret == Secret("of the keyring")
    assert config.origins["secret"] == KEYRING
    assert own.credentials.secret == Secret("of the environment")
    assert of_file.credentials.secret == Secret("of a file")


def test_a_keyring_that_is_gone_locked_or_empty_is_told_in_a_sentence(tmp_path: Path) -> None:
    profiles(tmp_path, IN_KEYRING)
    environ = environment(tmp_path)

    assert "no keyring can be used here" in refused(environ)
    with using(LockedKeyring(tmp_path / "r")):
        assert "(KeyringLocked); unlock it and try again" in refused(environ)
    with using(FileKeyring(tmp_path / "r")):
        assert "has no secret for profile 'default' and institution 1000083" in refused(environ)
    ring = FileKeyring(tmp_path / "ring.json")
    ring.set_password("bulkcast", "default/1000083", "two\nlines")
    with using(ring):
        assert "the keyring holds characters that cannot be typed" in refused(environ)


def test_a_secret_is_nowhere_else_than_in_a_file_or_the_keyring(tmp_path: Path) -> None:
    profiles(tmp_path, '[profiles.default]\nsid = "1"\nsecret_in = "the cupboard"\n')

    assert "has an unknown secret_in; it may be 'keyring'" in refused(complete(tmp_path))


def test_without_a_profile_in_the_keyring_no_keyring_is_loaded(tmp_path: Path) -> None:
    program = (
        "import os, sys; from bulkcast.config import load; load(os.environ);"
        "print('keyring' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **complete(tmp_path)},
        capture_output=True, encoding="utf-8", check=True,
    )  # fmt: skip

    assert done.stdout.strip() == "False"


# ------------------------------------------------------------------ a variable of its own

OTHER = "of the branch"
IN_VARIABLE = '[profiles.branch]\nsid = "1000083"\nsecret_env = "BRANCH_SECRET"\n'


def test_a_secret_is_read_from_the_variable_that_a_profile_names(tmp_path: Path) -> None:
    profiles(tmp_path, IN_VARIABLE)

    config = load(environment(tmp_path, BRANCH_SECRET=f" {CANARY}\n"), profile="branch")

    assert config.credentials.secret == Secret(CANARY)
    assert config.origins["secret"] == "BRANCH_SECRET"  # noqa: S105 - the name of a variable


@pytest.mark.parametrize("value", [{}, {"BRANCH_SECRET": " "}])
def test_a_variable_that_is_not_set_is_named(tmp_path: Path, value: dict[str, str]) -> None:
    profiles(tmp_path, IN_VARIABLE)

    said = refused(environment(tmp_path, **value), "branch")

    assert said == (
        "the variable BRANCH_SECRET, which profile 'branch' names for its secret, is not set"
    )


def test_the_environments_own_secret_comes_before_the_variable(tmp_path: Path) -> None:
    profiles(tmp_path, IN_VARIABLE)
    environ = environment(tmp_path, BRANCH_SECRET=OTHER, BULKCAST_SECRET=CANARY)

    assert load(environ, profile="branch").credentials.secret == Secret(CANARY)


# ------------------------------------------------------------------ institutions of a sheet


def test_an_institution_of_a_sheet_is_its_profile_and_nothing_else(tmp_path: Path) -> None:
    profiles(tmp_path, IN_VARIABLE)
    environ = complete(tmp_path, BRANCH_SECRET=OTHER, BULKCAST_ROOT_URL="https://x.y/")

    found = member(environ, "branch")

    assert found.institution == Institution("https://x.y", "1000083")
    assert found.config is not None
    assert found.config.credentials == Credentials("1000083", Secret(OTHER))
    assert found.config.home == tmp_path


def test_an_institution_without_its_secret_is_found_and_says_why(tmp_path: Path) -> None:
    profiles(tmp_path, IN_VARIABLE + 'root_url = "https://own.example"\n')

    found = member(complete(tmp_path), "branch")

    assert (found.institution.root_url, found.config) == ("https://own.example", None)
    assert "BRANCH_SECRET" in str(found.problem)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "has no profile 'branch'"),
        ("[profiles.branch]\n", "the SID of profile 'branch'"),
        ('[profiles.branch]\nsid = "x"\n', "should be digits"),
    ],
)
def test_a_profile_that_names_no_institution_is_refused(
    tmp_path: Path, text: str, sentence: str
) -> None:
    profiles(tmp_path, text)

    with pytest.raises(CannotStart, match=sentence):
        member(complete(tmp_path), "branch")


def test_the_names_of_profiles_are_known_where_there_is_a_file(tmp_path: Path) -> None:
    assert profile_names(complete(tmp_path)) is None
    profiles(tmp_path, IN_VARIABLE)
    assert profile_names(complete(tmp_path)) == frozenset({"branch"})


def test_the_variables_that_hold_secrets_are_known(tmp_path: Path) -> None:
    assert secret_variables(complete(tmp_path)) == {"BULKCAST_SECRET"}
    profiles(tmp_path, IN_VARIABLE)
    assert secret_variables(complete(tmp_path)) == {"BULKCAST_SECRET", "BRANCH_SECRET"}
    profiles(tmp_path, "no toml")
    assert secret_variables(complete(tmp_path)) == {"BULKCAST_SECRET"}


# ------------------------------------------------------------------ in a fleet

DATABASE: Final = "postgresql://li:db-canary@db/bulkcast"


def test_in_a_fleet_a_secret_may_be_missing_as_workers_have_it(tmp_path: Path) -> None:
    alone = environment(tmp_path, BULKCAST_SID="1000082")
    assert "secret is not set" in refused(alone)

    config = load({**alone, "BULKCAST_DATABASE": DATABASE, "BULKCAST_USER": "li"})

    assert "secret is not set" in str(config.missing)
    assert config.credentials.secret == Secret("")
    assert "secret" not in config.origins
    assert config.ledger_home == SharedHome(tmp_path, DATABASE)
    assert config.user == "li"
    assert "db-canary" not in repr(config)


@pytest.mark.parametrize(
    "kept", ['secret_env = "NOWHERE_SET"', 'secret_file = "nowhere"', ""], ids=["env", "file", "-"]
)
def test_in_a_fleet_a_profile_s_secret_may_be_elsewhere(tmp_path: Path, kept: str) -> None:
    profiles(tmp_path, f'[profiles.branch]\nsid = "1000083"\n{kept}\n')

    alone = member(environment(tmp_path), "branch")
    found = member(environment(tmp_path, BULKCAST_DATABASE=DATABASE), "branch")

    assert (alone.config, bool(alone.problem)) == (None, True)
    assert found.problem is None
    assert found.config
    assert found.config.missing
    assert found.institution == found.config.institution == Institution(DEFAULT_ROOT_URL, "1000083")


def test_in_a_fleet_a_secret_that_is_there_is_used(tmp_path: Path) -> None:
    config = load(complete(tmp_path, BULKCAST_DATABASE=DATABASE))

    assert config.missing is None
    assert config.credentials.secret == Secret(CANARY)


def test_in_a_fleet_the_institution_must_still_be_known(tmp_path: Path) -> None:
    assert "SID is not set" in refused(environment(tmp_path, BULKCAST_DATABASE=DATABASE))


def test_the_institution_of_a_profile_is_known_without_its_secret(tmp_path: Path) -> None:
    profiles(tmp_path, '[profiles.branch]\nsid = "1000083"\nroot_url = "https://x.example/"\n')

    found = institution_of(environment(tmp_path), "branch")

    assert found == Institution("https://x.example", "1000083")


def test_all_institutions_are_loaded_by_name(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(
        '[profiles.north]\nsid = "1"\nsecret_env = "NORTH"\n'
        '[profiles.south]\nsid = "2"\nsecret_env = "SOUTH"\n',
        "utf-8",
    )
    environ = complete(tmp_path, NORTH="of-north")

    with pytest.raises(CannotStart, match="SOUTH"):
        load_all(environ)
    with pytest.raises(CannotStart, match="no profile 'west'"):
        load_all(environ, "west")
    assert load_all(environ, "north")["north"].credentials.secret == Secret("of-north")
    both = load_all({**environ, "SOUTH": "of-south"})

    assert {name: config.institution.sid for name, config in both.items()} == {
        "north": "1", "south": "2",
    }  # fmt: skip
    with pytest.raises(CannotStart, match="has no profile"):
        load_all(complete(tmp_path / "elsewhere"))
