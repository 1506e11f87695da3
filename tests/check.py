"""Every check of this project, from a bare checkout: `python3 tests/check.py`.

Needs Python 3.11 or newer and nothing else.  It makes an environment of its own in `.check/` for
the Python that runs it, installs bulkcast and the tools into it, runs all checks even where one
fails, and closes with pytest's own last line.  The exit status is 0 where every check passed, else
1.  `--all-pythons` does so on the oldest and the newest supported Python that the computer has, and
once with the lowest versions that pyproject.toml allows.

There are three tiers.  `--fast` leaves out the tests marked slow: about two minutes on two cores.
Without an option every behaviour is tested, in about ten minutes on two cores; CI runs that.
`--long` adds the proofs marked long: a thousand kills, days of simulated faults.
"""

import argparse
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import venv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, NoReturn

ROOT = Path(__file__).resolve().parent.parent
OURS = ROOT / ".check"
IN_SHORT = "--in-short"
LOWEST = "--lowest" in sys.argv
"""Whether every dependency is taken at the lowest version that pyproject.toml allows."""
VENV = OURS / (platform.python_version() + ("-lowest" if LOWEST else ""))
ENOUGH = 6 << 30
"""Bytes of memory that the tests' files may take."""
STAMP = VENV / "stamp"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")


class Program(NamedTuple):
    """A program that some tests start and that pip cannot install."""

    command: str
    package: str
    """Its name for apt-get."""
    use: str


class Check(NamedTuple):
    """One check and the command that runs it."""

    name: str
    command: Sequence[object]


PROGRAMS = (
    Program("soffice", "libreoffice-calc", "the tests that open sheets in a spreadsheet program"),
    Program("chromium", "chromium", "the tests of the page in a browser"),
    *((Program("strace", "strace", "the test of what is synced to disk before a request leaves"),)
      if sys.platform == "linux" else ()),
    Program("initdb", "postgresql", "the tests on PostgreSQL, each server in a folder of its own"),
)  # fmt: skip

LINTS = (
    Check("ruff check", (PYTHON, "-m", "ruff", "check", "bulkcast", "tests")),
    Check("ruff format", (PYTHON, "-m", "ruff", "format", "--check", "bulkcast", "tests")),
    Check("mypy", (PYTHON, "-m", "mypy")),
    Check("import-linter", (BIN / "lint-imports",)),
)


def main() -> int:
    options = read_options()
    if options.all_pythons:
        return run_on_all_pythons()
    say(f"Python {platform.python_version()}{', lowest versions' if LOWEST else ''}")
    make_environment(options)
    if options.bench:
        return run((PYTHON, "-m", "tests.benchmarks")).returncode
    problems = [] if options.fast else missing_programs()
    if not LOWEST:  # other versions of the tools find other problems
        problems += failed(LINTS)
    if problems:
        say(f"failed before the tests: {', '.join(problems)}")
    with files_in_memory() as folder:
        tests = run((*pytest_command(options), *folder))
    return 1 if problems or tests.returncode else 0


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run every check of bulkcast.")
    parser.add_argument("--bench", action="store_true", help="only measure and print the ratios")
    parser.add_argument("--long", action="store_true", help="add the proofs marked long")
    parser.add_argument(
        "--report", action="store_true", help="close with the figures that the tests measured"
    )
    parser.add_argument(
        "--fast",
        action="store_true",
        help="take the environment as it is, install nothing else, and leave out slow tests",
    )
    parser.add_argument(
        "--lowest", action="store_true", help="test with the lowest versions that are allowed"
    )
    parser.add_argument(
        IN_SHORT,
        action="store_true",
        help="leave out what sees no difference between Pythons: a browser at the page, fleets that"
        " lose workers",
    )
    parser.add_argument(
        "--all-pythons", action="store_true",
        help="run on the oldest and the newest Python, then on the oldest with --lowest; the first"
        " run alone has what sees no difference between them",
    )  # fmt: skip
    return parser.parse_args()


def say(text: str) -> None:
    # Flushed at once, so that the output of the checks comes after it.
    print(f"-- {text}", flush=True)


def stop(text: str) -> NoReturn:
    say(text)
    raise SystemExit(1)


# ------------------------------------------------------------------ the Pythons


def run_on_all_pythons() -> int:
    """Run this script on each Python; name failed runs before the last one ends."""
    found = pythons()
    if not found:
        stop(f"none of Python {', '.join(supported())} was found here")
    oldest, newest = found[min(found)], found[max(found)]
    rest = [part for part in sys.argv[1:] if part not in {"--all-pythons", "--lowest"}]
    runs = [(oldest, *rest)]
    if newest != oldest:
        runs.append((newest, *rest, IN_SHORT))
    runs.append((oldest, *rest, IN_SHORT, "--lowest"))
    bad: list[str] = []
    for python, *more in runs:
        if bad:
            say(f"failed so far: {', '.join(bad)}")
        if run((python, Path(__file__).resolve(), *more)).returncode:
            bad.append(" ".join((python, *more)))
    return 1 if bad else 0


def supported() -> list[str]:
    """The minor versions that pyproject.toml names: 3.11, 3.12 …"""
    with (ROOT / "pyproject.toml").open("rb") as file:
        classifiers = tomllib.load(file)["project"]["classifiers"]
    return [c.rpartition(" ")[2] for c in classifiers if " :: Python :: 3." in c]


def pythons() -> dict[tuple[int, ...], str]:
    """Version → interpreter, for all that are supported and can make an environment."""
    found: dict[tuple[int, ...], str] = {}
    question = (
        "import ensurepip, sqlite3, ssl, sys, venv; v = sys.version_info;"
        "print(*v[:3]) if v.releaselevel == 'final' else sys.exit(1)"
    )
    for path in dict.fromkeys(candidates()):
        try:
            told = run((path, "-c", question), output=subprocess.PIPE)
        except OSError:
            continue
        if not told.returncode:
            version = tuple(int(part) for part in told.stdout.split())
            if ".".join(map(str, version[:2])) in supported():
                found.setdefault(version, path)
    return found


def candidates() -> Iterator[str]:
    yield sys.executable
    folders = [Path(name) for name in os.environ.get("PATH", "").split(os.pathsep) if name]
    for version in supported():
        yield from (found for folder in folders
                    if (found := shutil.which(f"python{version}", path=str(folder))))  # fmt: skip
    yield "/usr/bin/python3"
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from (str(path) for path in sorted(pyenv.glob("versions/3.*/bin/python3")))


# ------------------------------------------------------------------ the environment


def make_environment(options: argparse.Namespace) -> None:
    """Make the environment match pyproject.toml, unless it does already."""
    wanted = fingerprint()
    present = STAMP.read_text(encoding="utf-8") if STAMP.exists() and PYTHON.exists() else ""
    if present == wanted or (present and options.fast):
        return
    say(f"making .check/{VENV.name}; the first time this downloads some 100 MB")
    started = time.monotonic()
    # `clear` removes the stamp, too: a partial environment is made again.
    try:
        venv.create(VENV, clear=True, with_pip=True)
    except (subprocess.CalledProcessError, OSError) as exc:
        stop(f"no environment can be made with {sys.executable}: {exc}; on Debian, apt-get"
             " install python3-venv")  # fmt: skip
    # `--group` came with pip 25.1.
    pip_install("--upgrade", "pip>=25.1")
    wants = ("--editable", ".", "--group", "dev")
    if LOWEST:
        pip_install("uv")  # pip always installs the newest versions
        uv = (BIN / "uv", "pip", "install", "--quiet", "--python", PYTHON)
        # Like pip, it is to trust what the system trusts: a school's proxy signs for itself.
        trust = {"UV_SYSTEM_CERTS": "true"}
        if run((*uv, "--resolution", "lowest-direct", *wants), extra=trust).returncode:
            stop("uv could not install the lowest versions; its own words stand above")
    else:
        pip_install(*wants)
    STAMP.write_text(wanted, encoding="utf-8")
    say(f"made in {time.monotonic() - started:.0f} s")


def fingerprint() -> str:
    """A hash of what an environment is made from: path, interpreter, pyproject.toml."""
    parts = (str(ROOT), sys.version, platform.platform())
    made_from = "\n".join(parts).encode() + (ROOT / "pyproject.toml").read_bytes()
    return hashlib.sha256(made_from).hexdigest()


def pip_install(*what: str) -> None:
    # For slow networks: by default pip gives up after 15 s without data.
    patience = {"PIP_DEFAULT_TIMEOUT": "60", "PIP_RETRIES": "10"}
    command = (PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *what)
    if run(command, extra=patience).returncode:
        stop(f"pip could not install {' '.join(what)}; its own words stand above")


def missing_programs() -> list[str]:
    """Install missing programs if allowed; return the names of checks that cannot be made.

    Tests that lack a program are skipped and say so; those on PostgreSQL fail on Linux.  With
    CI=true on Linux that counts as failed, as nobody would notice; on other systems the programs
    are not installed.
    """
    missing = [program for program in PROGRAMS if not is_installed(program)]
    if missing and may_install():
        apt_install(program.package for program in missing)
        missing = [program for program in missing if not is_installed(program)]
    for program in missing:
        say(f"left out: {program.use}, for want of {program.command} ({program.package})")
    strict = os.environ.get("CI") == "true" and sys.platform == "linux"
    return [program.package for program in missing] if strict else []


def is_installed(program: Program) -> bool:
    """Whether it is on the PATH, or where Debian keeps PostgreSQL's programs."""
    postgres = map(str, Path("/usr/lib/postgresql").glob("*/bin"))
    return bool(
        shutil.which(program.command, path=os.pathsep.join((os.environ["PATH"], *postgres)))
    )


def may_install() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0 and bool(shutil.which("apt-get"))


def apt_install(packages: Iterable[str]) -> None:
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    say("installing system packages")
    run(("apt-get", "update", "-qq"), extra=quiet)
    run(("apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages), extra=quiet)


# ------------------------------------------------------------------ the checks


def failed(checks: Iterable[Check]) -> list[str]:
    """Run every check and return the names of the failed ones; a passed one prints one line."""
    names = []
    for check in checks:
        started = time.monotonic()
        done = run(check.command, output=subprocess.PIPE)
        verdict = "FAILED" if done.returncode else "ok"
        say(f"{check.name} {verdict} ({time.monotonic() - started:.1f} s)")
        if done.returncode:
            print(done.stdout, flush=True)
            names.append(check.name)
    return names


def pytest_command(options: argparse.Namespace) -> Sequence[object]:
    left_out = ["live"]
    if not options.long:
        left_out += ["long", "slow"] if options.fast else ["long"]
    if options.in_short:
        left_out += ["browser", "proof"]
    marks = " and ".join(f"not {mark}" for mark in left_out)
    examples = ("--hypothesis-profile", "fast") if "slow" in left_out else ()
    report = ("--report",) if options.report else ()
    return (PYTHON, "-m", "pytest", "-q", "-n", "2", "-m", marks, *examples, *report)


@contextmanager
def files_in_memory() -> Iterator[Sequence[object]]:
    """pytest options that put the tests' files into memory, if Linux has room for them.

    The tests sync thousands of times and leave some 3 GB, which are deleted at the end.
    """
    place = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
    if not room_in(place):
        yield ()
        return
    with tempfile.TemporaryDirectory(prefix="bulkcast-", dir=place) as folder:
        yield ("--basetemp", Path(folder) / "tests")


def room_in(place: Path) -> bool:
    """Whether programs can be executed there, and `ENOUGH` bytes are free."""
    if not (sys.platform == "linux" and os.access(place, os.W_OK)):
        return False
    found = os.statvfs(place)
    return not found.f_flag & os.ST_NOEXEC and found.f_bavail * found.f_frsize >= ENOUGH


def run(
    command: Sequence[object], *, extra: Mapping[str, str] | None = None, output: int | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command at the root; with `output` capture its output.

    The user's SID and secret are removed from its environment: no check may talk to ClassIn.
    """
    environ = {k: v for k, v in os.environ.items() if not k.startswith("BULKCAST_")}
    return subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env={**environ, **(extra or {})},
        stdout=output,
        stderr=subprocess.STDOUT if output else None,
        encoding="utf-8",
        errors="replace",
        check=False,
    )


if __name__ == "__main__":
    sys.exit(main())
