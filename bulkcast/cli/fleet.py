"""`fleet` and `worker`: many institutions, sent for by workers on any number of machines."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

import click
from rich.text import Text

from bulkcast import config as configuration
from bulkcast.cli import context, exit_status, fleet_view, json_output, signals
from bulkcast.cli.console import Output, command, shown, whole
from bulkcast.cli.language import current_translator, tr, trn
from bulkcast.config import Config
from bulkcast.errors import CannotStart
from bulkcast.home import SharedHome
from bulkcast.i18n import marked
from bulkcast.pipeline import fleet_control, lanes, zone
from bulkcast.pipeline.fleet_control import lane_of
from bulkcast.pipeline.options import DEFAULT_TZ
from bulkcast.pipeline.submission import Submitted

_log = logging.getLogger(__name__)

Lanes = Mapping[str, Sequence[str]]
"""Lane → the profiles that are for this institution."""
_Candidate = tuple[str, Config | None, CannotStart | None]
"""A profile's name, empty for the environment; its credentials; what is wrong with them."""


_NO_WORKER: Final = marked("No worker is there, so nothing is sent. Start one: ")


def init(output: Output) -> int:
    """Make the tables of the ledger, the fleet and the queue."""
    home = context.fleet()
    fleet_control.init(home.database)
    place = fleet_control.shown_database(home)
    if output.as_json:
        output.json(json_output.dump({"schema": "bulkcast.database/1", "database": place}))
        return 0
    output.info(
        Text(tr("The tables are there in {database}.", database=shown(place))),
        whole(
            tr("Next, on each machine that is to send: "),
            command("bulkcast", "worker", *context.typed("database")),
        ),
    )
    return 0


def status(output: Output) -> int:
    """Show workers, institutions, open runs and the oldest wait."""
    found = context.run_async(fleet_control.status(context.fleet()))
    if output.as_json:
        output.json(json_output.dump(json_output.fleet(found)))
        return 0
    output.out(*fleet_view.status_lines(found, _profiles(), output.symbols))
    if not any(worker.is_alive for worker in found.status.workers):
        start = command("bulkcast", "worker", *context.typed("database"))
        output.problem(whole(tr(_NO_WORKER), start))
    return 0


def pause(output: Output, names: Sequence[str], *, all_: bool) -> int:
    """Have nothing more sent for institutions."""
    home, chosen = _chosen(names, all_=all_)
    done = context.run_async(fleet_control.pause(home, chosen, user=_user()))
    _show_changed(output, "pause", done)
    if done and not output.as_json:
        chosen_by = ("--all",) if all_ else names
        again = command("bulkcast", "fleet", "go-on", *chosen_by, *context.typed("database"))
        output.info(
            Text(tr("What is under way is finished within seconds, and nothing more is sent.")),
            whole(tr("To go on: "), again),
        )
    return 0


def go_on(output: Output, names: Sequence[str], *, all_: bool) -> int:
    """End the pause of institutions."""
    home, chosen = _chosen(names, all_=all_)
    done = context.run_async(fleet_control.go_on(home, chosen, user=_user()))
    _show_changed(output, "go-on", done)
    return 0


def _show_changed(output: Output, action: str, done: Sequence[str]) -> None:
    if output.as_json:
        document = {"schema": "bulkcast.lanes/1", "action": action, "institutions": list(done)}
        output.json(json_output.dump(document))
        return
    names = shown(current_translator().listed(done))
    nothing, said = (
        (tr("Nothing to pause: paused already, or never sent for."), marked("Paused: {names}"))
        if action == "pause"
        else (tr("None of them is paused."), marked("Sending goes on: {names}"))
    )
    output.out(Text(tr(said, names=names) if done else nothing))


def cancel(output: Output, run: str) -> int:
    """Have a run ended; what is under way is finished."""
    home = context.fleet()
    done = context.run_async(fleet_control.cancel(home, run, user=_user()))
    if output.as_json:
        output.json(json_output.dump({"schema": "bulkcast.cancel/1", "runs": list(done)}))
    elif done:
        names = current_translator().listed(done)
        output.out(Text(tr("Cancelled: {names}. What is under way is finished.", names=names)))
    else:
        output.out(Text(tr("Run {run} has ended already.", run=shown(run))))
    return 0


def actions(output: Output, limit: int) -> int:
    """List what people did, newest first."""
    found = context.run_async(fleet_control.actions(context.fleet(), limit))
    if output.as_json:
        output.json(json_output.dump(json_output.actions(found)))
    elif found:
        output.out(*fleet_view.action_lines(found, zone(DEFAULT_TZ), DEFAULT_TZ))
    else:
        output.info(Text(tr("Nobody has done anything yet.")))
    return 0


def _user() -> str:
    return configuration.user(context.environ())


def show_submitted(output: Output, done: Submitted) -> None:
    """Show that a run was handed in, and where to look for it."""
    if output.as_json:
        output.json(json_output.dump(json_output.submitted(done)))
    said = trn(
        "Handed in as run {run}: {n} row, {requests}.",
        "Handed in as run {run}: {n} rows, {requests}.",
        done.rows,
        run=done.run,
        requests=trn("{n} request", "{n} requests", done.requests),
    )
    output.out(Text(said, "bold"))
    typed = tuple(context.typed(*context.OF_RUN))
    if not done.workers:
        start = command("bulkcast", "worker", *context.typed("database"))
        output.warn(tr(_NO_WORKER) + start)
    if not output.as_json:
        output.info(
            whole(tr("How far it is: "), command("bulkcast", "runs", "show", done.run, *typed)),
            whole(tr("Its results: "), command("bulkcast", "results", done.run, *typed)),
        )


# ------------------------------------------------------------------ which institutions


def _chosen(names: Sequence[str], *, all_: bool) -> tuple[SharedHome, list[str] | None]:
    """The fleet, and the lanes that are meant; None for all.

    Raises:
        UsageError: neither names nor --all, or both.
        CannotStart: there is no such institution.

    """
    if bool(names) == all_:
        raise click.UsageError(tr("name institutions, or give --all"))
    home = context.fleet()
    if all_:
        return home, None
    known = context.run_async(fleet_control.known_lanes(home))
    profiles = _profiles()
    return home, sorted({lane for name in names for lane in _meant(name, known, profiles)})


def _meant(name: str, known: Iterable[str], profiles: Lanes) -> list[str]:
    """The lanes that a profile's name, a SID or a lane's own name means."""
    of_profile = [lane for lane, names in profiles.items() if name in names]
    if of_profile:
        return of_profile
    found = [lane for lane in {*known, *profiles} if name in {lane, lane.rpartition(" ")[2]}]
    if not found:
        raise CannotStart(
            "no institution is called {name!r}; `bulkcast fleet status` shows those there are",
            name=name,
        )
    return found


def _profiles() -> Lanes:
    """The lanes of config.toml's profiles."""
    environ = context.environ()
    found: dict[str, list[str]] = {}
    for name in sorted(configuration.profile_names(environ) or ()):
        try:
            institution = configuration.institution_of(environ, name)
        except CannotStart:
            continue
        found.setdefault(lane_of(institution), []).append(name)
    return found


# ------------------------------------------------------------------ the worker


def worker(output: Output, *, concurrency: int, metrics: int | None) -> int:
    """Send for all institutions with credentials here until a signal arrives."""
    home = context.fleet()
    exit_status.keep_words_out_of_logs(exit_status.passwords([home.database]))
    credentials = _Credentials(context.environ(), output.warn)
    configs = credentials.by_lane()
    if credentials.is_any_named and not configs:
        raise CannotStart("this worker has no secret it could send with: mend what is said above")
    if not configs:
        raise CannotStart(
            "there are no credentials on this computer to send with: set BULKCAST_SID and"
            " BULKCAST_SECRET_FILE, or add profiles to config.toml"
        )
    begun = [_served(configs), tr("Ctrl-C ends it in order.")]
    output.info(Text(current_translator().joined(begun)))
    with exit_status.logging_to_stderr(info=output.verbose):
        return context.run_async(_work(output, home, credentials, concurrency, metrics))


_NAMED_MOST: Final = 8


def _served(configs: Mapping[str, tuple[str, Config]]) -> str:
    """The institutions that a worker sends for, in a sentence."""
    names = [f"{name} ({lane})" if name else lane for lane, (name, _) in configs.items()]
    more = ["…"] if len(names) > _NAMED_MOST else []
    return trn(
        "This worker sends for {n} institution: {names}.",
        "This worker sends for {n} institutions: {names}.",
        len(names),
        names=shown(current_translator().listed([*names[:_NAMED_MOST], *more])),
    )


class _Credentials:
    """The credentials of a worker, whose files are looked at again while it works."""

    def __init__(self, environ: Mapping[str, str], tell: Callable[[str], None]) -> None:
        """`tell` is given a sentence for each profile that cannot be sent for.

        Raises:
            CannotStart: config.toml cannot be read.

        """
        self._environ = environ
        self._problems: dict[str, str] = {}
        self._by_name: Mapping[str, Config] = {}
        self._state = configuration.files_state(environ)
        self._read(tell)

    @property
    def is_any_named(self) -> bool:
        """Whether there is any profile, or the environment names credentials, usable or not."""
        return bool(self._by_name or self._problems)

    def by_lane(self) -> dict[str, tuple[str, Config]]:
        """Lane → the profile's name, empty for the environment's own, and the credentials."""
        found: dict[str, tuple[str, Config]] = {}
        for name, config in self._by_name.items():
            found.setdefault(lane_of(config.institution), (name, config))
        return found

    def configs(self) -> dict[str, Config]:
        """Lane → the credentials."""
        return {lane: config for lane, (_, config) in self.by_lane().items()}

    def read_again(self) -> Mapping[str, Config] | None:
        """Lane → the credentials, if a file of theirs has changed; None if they stay as they were.

        What cannot be read is told once in the log.
        """
        state = configuration.files_state(self._environ)
        if state == self._state:
            return None
        self._state = state
        try:
            self._require_file()
            self._read(_log.warning)
        except CannotStart as exc:
            why = current_translator().error(exc)
            _log.warning("%s", shown(tr("The profiles stay as they were: {why}", why=why)))
            return None
        configs = self.configs()
        if configs:
            _log.info("%s", _served(self.by_lane()))
        else:
            _log.warning("%s", tr("This worker sends for no institution any more."))
        return configs

    def _require_file(self) -> None:
        """Refuse that config.toml is gone: it may be about to come back, as when it is replaced."""
        if any(self._by_name) and configuration.profile_names(self._environ) is None:
            path = configuration.home(self._environ) / "config.toml"
            raise CannotStart("{path} is not there any more", path=path)

    def _read(self, tell: Callable[[str], None]) -> None:
        found: dict[str, Config] = {}
        problems: dict[str, str] = {}
        for name, config, problem in _candidates(self._environ):
            if config is not None and problem is None:
                exit_status.keep_out_of_logs(config.credentials.secret)
                found[name] = config
                continue
            before = self._by_name.get(name)
            if before is not None:
                found[name] = before
            problems[name] = _told(name, problem, before)
        for name, said in problems.items():
            if self._problems.get(name) != said:
                tell(said)
        self._by_name, self._problems = found, problems


def _told(name: str, problem: CannotStart | None, before: Config | None) -> str:
    """A sentence for a profile that cannot be read, or could be before."""
    why = current_translator().error(problem) if problem else ""
    profile = name or tr("the environment")
    if before is not None:
        return shown(tr("{profile} is sent for as before: {why}", profile=profile, why=why))
    return shown(tr("Nothing will be sent for {profile}: {why}", profile=profile, why=why))


def _candidates(environ: Mapping[str, str]) -> Iterator[_Candidate]:
    """The environment's own credentials and the profiles', and what is wrong with each.

    Raises:
        CannotStart: config.toml cannot be read.

    """
    if configuration.is_in_environment(environ):
        try:
            own = configuration.load(environ)
            yield "", own, own.missing
        except CannotStart as exc:
            yield "", None, exc
    for name in sorted(configuration.profile_names(environ) or ()):
        try:
            member = configuration.member(environ, name)
            config = member.config
            yield name, config, config.missing if config else member.problem
        except CannotStart as exc:
            yield name, None, exc


class _Ending:
    """Lets a signal end the worker in order."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.exit_status = 0

    def stop(self, exit_status: int) -> None:
        """Take no more lanes, and finish what is under way."""
        self.exit_status = exit_status
        self.asked.set()


async def _work(
    output: Output,
    home: SharedHome,
    credentials: _Credentials,
    concurrency: int,
    metrics: int | None,
) -> int:
    """Work until a signal; 0 if what was under way could be finished."""
    ending = _Ending()
    with signals.heeding(ending, output.warn):
        try:
            await lanes.work(
                home,
                credentials.configs(),
                read_again=credentials.read_again,
                concurrency=concurrency,
                metrics_port=metrics,
                stop=ending.asked,
            )
        except asyncio.CancelledError:
            return ending.exit_status
    return 0
