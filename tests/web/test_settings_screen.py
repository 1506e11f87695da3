"""The settings screen: credentials are entered once, tried at once, and never shown again."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bulkcast import profiles
from bulkcast.model import Secret
from bulkcast.profiles import Profile, own_file
from bulkcast.sandbox import SANDBOX_SID, Sandbox, World
from tests.file_keyring import FileKeyring, LockedKeyring, using
from tests.page_client import Answer, page

SECRET = "school-secret-77"  # noqa: S105 - a word to look for
OWN_FILE = own_file("North campus")
WRONG = "mistyped-secret-78"


@asynccontextmanager
async def classin() -> AsyncIterator[str]:
    """A server that takes `SECRET`; gives its root URL."""
    async with Sandbox(World(limit=None), secret=Secret(SECRET)).serving() as root_url:
        yield root_url


def filled(root_url: str = "", **other: str) -> dict[str, str]:
    """The form for a new profile."""
    entries = {"name": "North campus", "sid": SANDBOX_SID, "secret": SECRET, "root_url": root_url}
    return entries | other


def badge(answer: Answer) -> str:
    return " ".join(answer.tree.xpath("string(//header//a[@data-account])").split())


def chosen(answer: Answer) -> str:
    """The account that the screen shows as in use; empty if none is."""
    found = answer.tree.xpath("//*[@data-choice][.//*[contains(@class, 'state-applied')]]")
    assert len(found) <= 1
    return str(found[0].get("data-choice")) if found else ""


def next_step(answer: Answer) -> str:
    (found,) = answer.tree.xpath("//*[@data-next]")
    return " ".join(found.text_content().split())


def errors(answer: Answer) -> Mapping[str, str]:
    """Field → what is wrong with it."""
    found = answer.tree.xpath("//*[@class='error']")
    return {str(e.get("id")).removesuffix("-error"): e.text_content() for e in found}


def require_secret_kept(answer: Answer, home: Path, *, places: set[str]) -> None:
    """The secret is in the files named so, and neither on the screen nor in its address."""
    for secret in (SECRET, WRONG):
        assert secret not in answer.text
        assert secret not in answer.url
        assert secret not in str(answer.headers)
    found = {p.name for p in home.rglob("*") if p.is_file() and SECRET.encode() in p.read_bytes()}
    assert found == places


# ------------------------------------------------------------------ the trip


async def test_without_credentials_it_is_a_demo_and_says_so_on_every_screen(tmp_path: Path) -> None:
    async with page(tmp_path) as client:
        for path in ("/", "/settings", "/settings/profile", "/nothing"):
            assert badge(await client.get(path)) == "DEMO Nothing leaves this computer", path
        answer = await client.get("/settings")

    assert answer.screen == "settings"
    assert chosen(answer) == "demo"
    assert next_step(answer) == "Back to the runs"


async def test_right_credentials_are_tried_saved_and_used_at_once(tmp_path: Path) -> None:
    async with classin() as root_url, page(tmp_path) as client:
        form = await client.get("/settings/profile")
        assert next_step(form) == "Save"
        answer = await client.post("/settings/profile", filled(root_url))

        assert answer.url.endswith("/settings")
        assert chosen(answer) == "profile:North campus"
        assert badge(answer) == f"LIVE North campus SID {SANDBOX_SID} {root_url}"
        assert "ClassIn accepts the SID and the secret." in answer.words
        assert next_step(answer) == "Back to the runs"
        require_secret_kept(answer, tmp_path, places={OWN_FILE})


async def test_credentials_that_classin_refuses_are_saved_only_if_the_user_says_so(
    tmp_path: Path,
) -> None:
    async with classin() as root_url, page(tmp_path) as client:
        answer = await client.post("/settings/profile", filled(root_url, secret=WRONG))

        assert "/settings/tried/" in answer.url
        assert "North campus is not saved yet" in answer.words
        assert answer.tree.xpath("//*[@data-findings]//*[contains(@class, 'state-rejected')]")
        assert next_step(answer) == "Save all the same"
        assert not (tmp_path / "config.toml").exists()
        require_secret_kept(answer, tmp_path, places=set())

        in_chinese = await client.get(
            answer.url.removeprefix(client.root), headers={"Accept-Language": "zh-CN"}
        )
        assert "凭据" in in_chinese.words or "密钥" in in_chinese.words
        again = await client.get(f"/settings/profile?tried={answer.url.rpartition('/')[2]}")
        assert again.tree.xpath("string(//input[@id='sid']/@value)") == SANDBOX_SID
        require_secret_kept(again, tmp_path, places=set())

        saved = await client.post(answer.url.removeprefix(client.root))
        assert chosen(saved) == "profile:North campus"
        assert WRONG in (tmp_path / OWN_FILE).read_text("utf-8")
        gone = await client.post(answer.url.removeprefix(client.root))
        assert gone.status == 400
        assert "enter it again" in gone.words


async def test_a_server_that_is_out_of_reach_is_told_before_anything_is_saved(
    tmp_path: Path,
) -> None:
    async with page(tmp_path) as client:
        answer = await client.post("/settings/profile", filled("http://127.0.0.1:9"))

        assert "is out of reach" in answer.words
        assert badge(answer).startswith("DEMO")


async def test_a_profile_is_changed_without_entering_the_secret_again(tmp_path: Path) -> None:
    async with classin() as root_url, page(tmp_path) as client:
        await client.post("/settings/profile", filled(root_url))
        form = await client.get("/settings/profile?change=North%20campus")
        require_secret_kept(form, tmp_path, places={OWN_FILE})
        kept = await client.post("/settings/profile", filled(root_url, secret="", change="yes"))
        assert kept.url.endswith("/settings")

        other = await client.post(
            "/settings/profile", filled("https://evil.example", secret="", change="yes")
        )
        assert other.status == 400
        assert errors(other)["secret"].startswith("Enter the secret again")
        another = filled(root_url, sid="1000099", secret="", change="yes")
        assert "secret" in errors(await client.post("/settings/profile", another))


async def test_where_profiles_are_there_and_none_is_the_usual_one_it_is_asked_for(
    tmp_path: Path,
) -> None:
    """Whoever works for real institutions is not to take a rehearsal for the real thing."""
    for name in ("north", "south"):
        profiles.save(tmp_path, Profile(name, SANDBOX_SID, ""), Secret(SECRET))
    async with page(tmp_path) as client:
        home = await client.get("/")
        settings = await client.get("/settings")
        used = await client.post("/settings/use", {"account": "profile:south"})
        then = await client.get("/")

    assert badge(home).startswith("LIVE")
    assert "but a sheet whose rows name institutions" in home.words
    assert "choose one of north, south" in home.words
    assert "No institution is chosen" in badge(home)
    assert home.tree.xpath("//main//a[@href='/settings']")
    assert chosen(settings) == ""
    assert chosen(used) == "profile:south"
    assert badge(then).startswith("LIVE south")
    assert "choose one of" not in then.words


async def test_another_account_is_chosen_for_every_browser_and_remembered(tmp_path: Path) -> None:
    async with classin() as root_url:
        async with page(tmp_path) as client:
            await client.post("/settings/profile", filled(root_url))
            await client.post("/settings/profile", filled(root_url, name="South"))
            used = await client.post("/settings/use", {"account": "profile:North campus"})
            assert chosen(used) == "profile:North campus"
            demo = await client.post("/settings/use", {"account": "demo"})
            assert badge(demo).startswith("DEMO")
            await client.post("/settings/use", {"account": "profile:South"})
        async with page(tmp_path) as client:
            assert badge(await client.get("/")).startswith("LIVE South")


async def test_a_removed_profile_takes_its_secret_with_it_and_leaves_a_demo(tmp_path: Path) -> None:
    async with classin() as root_url, page(tmp_path) as client:
        await client.post("/settings/profile", filled(root_url))
        answer = await client.post("/settings/remove", {"name": "North campus"})

        assert chosen(answer) == "demo"
        assert "North campus" not in answer.words
        require_secret_kept(answer, tmp_path, places=set())


async def test_the_credentials_in_use_can_be_checked_again(tmp_path: Path) -> None:
    async with classin() as root_url:
        environ = {
            "BULKCAST_SID": SANDBOX_SID, "BULKCAST_SECRET": SECRET, "BULKCAST_ROOT_URL": root_url,
        }  # fmt: skip
        async with page(tmp_path, environ) as client:
            assert not (await client.get("/settings")).tree.xpath("//*[@data-findings]")
            answer = await client.post("/settings/examine")

            assert "The SID is from BULKCAST_SID, the secret from BULKCAST_SECRET." in answer.words
            assert "ClassIn accepts the SID and the secret." in answer.words
            require_secret_kept(answer, tmp_path, places=set())


# ------------------------------------------------------------------ the keyring


async def test_with_a_keyring_no_file_holds_the_secret(tmp_path: Path) -> None:
    home = tmp_path / "home"
    ring = FileKeyring(tmp_path / "ring.json")
    with using(ring):
        async with classin() as root_url, page(home) as client:
            answer = await client.post("/settings/profile", filled(root_url))
            again = await client.post("/settings/examine")

    assert "Secret in this computer's keyring" in answer.words
    assert "the secret from the keyring." in again.words
    assert list(ring.entries()) == [f"bulkcast North campus/{SANDBOX_SID}"]
    require_secret_kept(answer, home, places=set())


async def test_a_locked_keyring_is_told_and_can_be_tried_again(tmp_path: Path) -> None:
    ring = FileKeyring(tmp_path / "ring.json")
    ring.set_password("bulkcast", "default/1000083", SECRET)
    (tmp_path / "config.toml").write_text(
        '[profiles.default]\nsid = "1000083"\nsecret_in = "keyring"\n', "utf-8"
    )
    with using(LockedKeyring(tmp_path / "ring.json")):
        async with page(tmp_path) as client:
            locked = await client.get("/settings")
            assert "unlock it and try again" in locked.words
            assert "The credentials cannot be used" in badge(locked)
            again = await client.post("/settings/examine")
            assert "unlock it and try again" in again.words

            with using(ring):
                await client.post("/settings/examine")
                assert badge(await client.get("/")) == "LIVE default SID 1000083"


async def test_a_keyring_that_takes_no_secret_is_told_at_the_field(tmp_path: Path) -> None:
    with using(LockedKeyring(tmp_path / "ring.json")):
        async with classin() as root_url, page(tmp_path / "home") as client:
            answer = await client.post("/settings/profile", filled(root_url))

    assert "does not take the secret" in errors(answer)["secret"]
    require_secret_kept(answer, tmp_path / "home", places=set())


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""), ("name", "x" * 61), ("name", "a\u202eb"), ("sid", ""), ("sid", "abc"),
        ("sid", SECRET), ("secret", ""), ("secret", "a\u200bb"), ("root_url", "http://evil.example"),
        ("root_url", "javascript:alert(1)"), ("root_url", "https://u:p@api.eeo.cn"),
        ("root_url", "file:///etc/passwd"), ("root_url", "http://169.254.169.254"),
    ],
)  # fmt: skip
async def test_a_field_that_is_wrong_says_so_and_nothing_is_sent_or_saved(
    tmp_path: Path, field: str, value: str
) -> None:
    async with page(tmp_path) as client:
        answer = await client.post("/settings/profile", filled("") | {field: value})

    assert answer.status == 400
    assert list(errors(answer)) == [field]
    assert answer.tree.xpath(f"//*[@id='{field}'][@aria-invalid='true']")
    assert next_step(answer) == "Save"
    assert not answer.tree.xpath("string(//input[@id='secret']/@value)")
    assert not (tmp_path / "config.toml").exists()


async def test_a_name_that_is_taken_is_not_overwritten(tmp_path: Path) -> None:
    async with classin() as root_url, page(tmp_path) as client:
        await client.post("/settings/profile", filled(root_url))
        before = (tmp_path / "config.toml").read_bytes()
        answer = await client.post("/settings/profile", filled(root_url, secret=WRONG))

        assert list(errors(answer)) == ["name"]
        assert (tmp_path / "config.toml").read_bytes() == before


async def test_markup_in_a_name_is_text(tmp_path: Path) -> None:
    name = "<script>alert(1)</script>\"'&"
    async with classin() as root_url, page(tmp_path) as client:
        answer = await client.post("/settings/profile", filled(root_url, name=name))
        (link,) = answer.tree.xpath("//a[contains(@href, 'change=')]/@href")
        form = await client.get(link)
        removed = await client.post("/settings/remove", {"name": name})

    assert name in answer.words
    assert "<script>alert" not in answer.text + form.text
    assert f"Change {name}" in form.words
    assert name not in removed.words


@pytest.mark.parametrize("account", ["", "nobody", "profile:", "profile:nobody", "environment"])
async def test_an_account_that_is_not_there_cannot_be_chosen(tmp_path: Path, account: str) -> None:
    async with page(tmp_path) as client:
        answer = await client.post("/settings/use", {"account": account})
        assert answer.status == 400
        assert badge(await client.get("/")).startswith("DEMO")


async def test_a_profile_or_trial_that_is_not_there_is_not_shown(tmp_path: Path) -> None:
    async with page(tmp_path) as client:
        assert (await client.get("/settings/profile?change=nobody")).status == 404
        assert (await client.get("/settings/tried/abc")).url.endswith("/settings/profile")
        assert (await client.get("/settings/tried/..%2Fabc")).status == 404


async def test_a_config_file_that_cannot_be_read_is_told_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("sid = ", "utf-8")
    async with page(tmp_path) as client:
        answer = await client.get("/settings")
        assert "cannot be read as TOML" in answer.words
        assert next_step(answer) == "Back to the runs"
        demo = await client.post("/settings/use", {"account": "demo"})
        assert badge(demo).startswith("DEMO")

    assert (tmp_path / "config.toml").read_text("utf-8") == "sid = "


async def test_the_remembered_choice_holds_no_secret(tmp_path: Path) -> None:
    async with classin() as root_url, page(tmp_path) as client:
        await client.post("/settings/profile", filled(root_url))

    found = json.loads((tmp_path / "page-account.json").read_text("utf-8"))
    assert found == {"use": "profile:North campus"}
