"""Every name a user can meet, and what it means: states, settings, reply codes, problems."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from bulkcast.catalogue import Endpoint, Lock, ReplyCode, Setting
from bulkcast.derive.fates import FATES, HERE, SIBLINGS, STATES
from bulkcast.derive.settings import LOCKS, blank_said, values_said
from bulkcast.problems import PROBLEMS
from bulkcast.wording import ENGLISH, Tongue, marked


class EntryKind(StrEnum):
    """What a name can be the name of, in the order in which they are listed."""

    STATE = "state"
    SETTING = "setting"
    REPLY = "reply"
    PROBLEM = "problem"


FACTS: Final[Mapping[str, str]] = {
    "severity": marked("Weight"),
    "meaning": marked("Meaning"),
    "outcome": marked("The row"),
    "fix": marked("What to do"),
    "headers": marked("Headers"),
    "values": marked("Values"),
    "filling": marked("Filling in"),
    "locks": marked("Locks"),
    "billed": marked("Billed by"),
    "unknown": marked("Not known"),
    "listed": marked("Listed for"),
}
"""The facts an entry can have, in the order in which they are told → what stands beside them."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One name and what is known of it."""

    kind: EntryKind
    name: str
    facts: Mapping[str, str] = field(default_factory=dict)
    """By the keys of `FACTS`, in their order; none is empty."""


def lexicon(endpoint: Endpoint, tongue: Tongue = ENGLISH) -> Iterator[Entry]:
    """Every entry, kind after kind; reply codes by number."""
    for status, (meaning, fix) in STATES.items():
        facts = {"meaning": tongue.tell(meaning), "fix": tongue.tell(fix)}
        yield _entry(EntryKind.STATE, status, facts)
    for setting in endpoint.columns:
        yield _entry(EntryKind.SETTING, setting.key, _of_setting(setting, tongue))
    for reply in sorted(endpoint.replies, key=lambda r: r.code):
        yield _entry(EntryKind.REPLY, str(reply.code), _of_reply(reply, tongue))
    for code, problem in PROBLEMS.items():
        facts = {
            "severity": tongue.tell(problem.severity),
            "meaning": tongue.tell(problem.many or problem.message),
            "fix": tongue.tell(problem.fix),
        }
        yield _entry(EntryKind.PROBLEM, code, facts)


def _entry(kind: EntryKind, name: str, facts: Mapping[str, str]) -> Entry:
    return Entry(kind, str(name), {key: facts[key] for key in FACTS if facts.get(key)})


def _of_setting(setting: Setting, tongue: Tongue) -> Mapping[str, str]:
    lang = tongue.lang
    return {
        "meaning": setting.help.say(lang),
        "headers": tongue.listed(
            (setting.key, setting.label.en, setting.label.zh, *setting.aliases)
        ),
        "values": values_said(setting.kind, lang),
        "filling": blank_said(setting, lang),
        "locks": "" if setting.lock is Lock.NEVER else LOCKS[setting.lock].say(lang),
        "billed": setting.billed.say(lang) if setting.billed else "",
        "unknown": setting.vendor_undefined.say(lang) if setting.vendor_undefined else "",
    }


def _of_reply(reply: ReplyCode, tongue: Tongue) -> Mapping[str, str]:
    return {
        "meaning": reply.meaning.say(tongue.lang),
        "outcome": tongue.tell(FATES[reply.kind]),
        "fix": reply.fix.say(tongue.lang),
        "listed": tongue.tell(HERE if reply.on_page else SIBLINGS),
    }
