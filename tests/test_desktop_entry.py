"""What starts the page from the desktop, on each system: real files, written and removed."""

import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from bulkcast.desktop_entry import MARK, Starter, install, starter, uninstall
from bulkcast.errors import CannotStart

PLATFORMS = ("linux", "darwin", "win32")
PYTHON = '/opt dir/100%/it\'s $HOME `x` "q" \\ 学校/bin/python3'
POSIX = pytest.mark.skipif(os.name != "posix", reason="file modes mean little here")


def made(home: Path, platform: str, **more: str) -> Starter:
    return starter({"HOME": str(home), **more}, platform=platform, python=PYTHON)


@pytest.mark.parametrize(
    ("platform", "place"),
    [
        ("linux", ".local/share/applications/bulkcast.desktop"),
        ("darwin", "Applications/bulkcast.command"),
        ("win32", "Desktop/bulkcast.bat"),
    ],
)
def test_it_lies_where_the_system_looks_for_it(tmp_path: Path, platform: str, place: str) -> None:
    found = made(tmp_path, platform, USERPROFILE=str(tmp_path))

    assert not install(found)
    assert found.path == tmp_path / place
    assert found.path.read_bytes() == found.raw
    assert install(found)
    assert uninstall(found)
    assert not found.path.exists()
    assert not uninstall(found)


@pytest.mark.parametrize(("named", "used"), [("data", True), ("", False), ("relative", False)])
def test_xdg_data_home_is_honoured_where_it_is_an_absolute_path(
    tmp_path: Path, named: str, used: bool
) -> None:
    given = str(tmp_path / named) if used else named
    found = made(tmp_path, "linux", XDG_DATA_HOME=given)

    base = tmp_path / "data" if used else tmp_path / ".local/share"
    assert found.path == base / "applications/bulkcast.desktop"


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_file_of_somebody_else_is_left_alone_without_force(tmp_path: Path, platform: str) -> None:
    found = made(tmp_path, platform)
    found.path.parent.mkdir(parents=True)
    found.path.write_text("mine", "utf-8")

    for act in (install, uninstall):
        with pytest.raises(CannotStart, match="not made by bulkcast"):
            act(found)
        assert found.path.read_text("utf-8") == "mine"

    assert install(found, force=True)
    assert found.path.read_bytes() == found.raw


@POSIX
def test_a_link_is_replaced_and_not_written_through(tmp_path: Path) -> None:
    found = made(tmp_path, "linux")
    found.path.parent.mkdir(parents=True)
    other = tmp_path / "other"
    other.write_text(MARK, "utf-8")
    found.path.symlink_to(other)

    install(found)

    assert other.read_text("utf-8") == MARK
    assert not found.path.is_symlink()


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_home_and_port_are_kept_and_no_secret_is(tmp_path: Path, platform: str) -> None:
    environ = {
        "HOME": str(tmp_path), "BULKCAST_HOME": str(tmp_path / "runs 100%"),
        "BULKCAST_SECRET": "school-secret-77", "BULKCAST_SID": "1000082",
    }  # fmt: skip

    text = starter(environ, port=8400, platform=platform, python=PYTHON).text

    assert "BULKCAST_HOME=" in text
    assert "runs 100%" in text
    assert "8400" in text
    assert "school-secret-77" not in text
    assert "1000082" not in text


# ------------------------------------------------------------------ Linux


def keys(text: str) -> dict[str, str]:
    head, *lines = text.splitlines()
    assert head == "[Desktop Entry]"
    return dict(line.split("=", 1) for line in lines)


def unescaped(value: str) -> str:
    """A value of type string, read as the specification says."""
    return re.sub(r"\\(.)", lambda m: {"s": " ", "n": "\n", "t": "\t"}.get(m[1], m[1]), value)


def arguments(line: str) -> list[str]:
    """The arguments of Exec, read as the specification says."""
    found = re.findall(r'"((?:[^"\\]|\\.)*)"|(\S+)', unescaped(line))
    words = [re.sub(r'\\(["`$\\])', r"\1", quoted) if quoted else bare for quoted, bare in found]
    assert not [word for word in words if re.search(r"(?<!%)(?:%%)*%[^%]", word + " ")]
    return [word.replace("%%", "%") for word in words]


def test_the_desktop_entry_says_what_to_run(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "BULKCAST_HOME": str(tmp_path / "a b")}
    found = keys(starter(environ, platform="linux", python=PYTHON).text)

    assert arguments(found["Exec"]) == [
        "env", f"BULKCAST_HOME={tmp_path / 'a b'}", PYTHON, "-m", "bulkcast", "serve",
    ]  # fmt: skip
    assert Path(unescaped(found["Icon"])).is_file()
    assert found["Type"] == "Application"
    assert found["Name"] == "bulkcast"
    assert found["Categories"].endswith(";")


@pytest.mark.skipif(sys.platform != "linux", reason="a program of Linux desktops")
def test_the_desktop_entry_is_valid(tmp_path: Path) -> None:
    found = made(tmp_path, "linux")
    install(found)
    validator = shutil.which("desktop-file-validate")

    if validator:
        command = [validator, "--warn-kde", str(found.path)]
        done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
        assert (done.stdout, done.returncode) == ("", 0)
    for key, value in keys(found.text).items():
        assert re.fullmatch(r"[A-Za-z0-9-]+(\[\w+\])?", key)
        assert "\n" not in value


# ------------------------------------------------------------------ macOS and Windows


@POSIX
def test_the_command_of_macos_is_a_program_that_runs(tmp_path: Path) -> None:
    python = tmp_path / 'it\'s a "$dir" 学校' / "python3"
    python.parent.mkdir()
    python.write_text('#!/bin/sh\necho "$BULKCAST_HOME" "$@"\n', "utf-8")
    python.chmod(0o755)
    environ = {"HOME": str(tmp_path), "BULKCAST_HOME": str(tmp_path / "a 'b'")}
    found = starter(environ, platform="darwin", python=str(python))

    install(found)
    done = subprocess.run([found.path], capture_output=True, encoding="utf-8", check=True)

    assert stat.S_IMODE(found.path.stat().st_mode) == 0o755
    assert done.stdout == f"{tmp_path / chr(97)} 'b' -m bulkcast serve\n"
    assert shlex.split(found.text.splitlines()[-1])[1] == str(python)


def test_the_batch_file_of_windows_has_its_line_ends_and_doubled_percents() -> None:
    found = starter(
        {"USERPROFILE": "C:/Users/me"}, platform="win32", python="C:\\100% 学校\\python.exe"
    )

    lines = found.text.split("\r\n")
    assert '"C:\\100%% 学校\\python.exe" "-m" "bulkcast" "serve"' in lines
    assert lines[0] == "@echo off"
    assert "\n" not in found.text.replace("\r\n", "")
    assert not found.raw.startswith(b"\xef\xbb\xbf")
