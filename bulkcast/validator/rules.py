"""What must hold between the settings of one row, as the endpoint's table declares it."""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple, assert_never

from bulkcast.catalogue import Clash, Needs, Rule, Together, TooFew
from bulkcast.model import SettingValue, Severity

Values = Mapping[str, SettingValue]


class Breach(NamedTuple):
    """A rule that a row's settings break."""

    code: str
    severity: Severity
    key: str | None
    """The setting at fault; None where it is the row as a whole."""
    args: Mapping[str, str]
    keys: tuple[str, ...]
    """All settings the rule looks at."""


_REMEMBERED: Final = 4096
Case = tuple[SettingValue | None, ...]
"""What a row sets, for each of the keys that rules look at."""


class Breaches(dict[Case, tuple[Breach, ...]]):
    """Which rules a row's settings break, found once for rows that are alike."""

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        super().__init__()
        self._rules = rules
        self.keys_of_case = tuple(dict.fromkeys(key for rule in rules for key in rule_keys(rule)))

    def __missing__(self, case: Case) -> tuple[Breach, ...]:
        pairs = zip(self.keys_of_case, case, strict=True)
        values = {key: value for key, value in pairs if value is not None}
        broken = tuple(breach for rule in self._rules for breach in _broken(rule, values))
        if len(self) < _REMEMBERED:
            self[case] = broken
        return broken


def rule_keys(rule: Rule) -> tuple[str, ...]:
    """The settings that a rule looks at."""
    match rule:
        case Clash():
            return (rule.key, rule.other)
        case Together():
            return rule.keys
        case Needs():
            return (*rule.keys, rule.other)
        case TooFew():
            return (rule.key, *rule.others)
        case _ as never:
            assert_never(never)


def _broken(rule: Rule, values: Values) -> Iterator[Breach]:
    keys = rule_keys(rule)
    match rule:
        case Clash():
            if values.get(rule.key) in rule.values and values.get(rule.other) in rule.other_values:
                yield Breach(rule.code, rule.severity, rule.key, {"other": rule.other}, keys)
        case Together():
            given = [key for key in rule.keys if key in values]
            if given and len(given) < len(rule.keys):
                said = {"given": ", ".join(given), "keys": ", ".join(rule.keys)}
                yield Breach(rule.code, rule.severity, None, said, keys)
        case TooFew():
            yield from _too_few(rule, values)
        case Needs():
            first = next((key for key in rule.keys if values.get(key)), None)
            if first is not None and values.get(rule.other) != rule.value:
                yield Breach(rule.code, rule.severity, first, {"other": rule.other}, keys)
        case _ as never:
            assert_never(never)


def _too_few(rule: TooFew, values: Values) -> Iterator[Breach]:
    possible = [key for key in rule.others if values.get(key) != 0]
    if values.get(rule.key) in rule.values and len(possible) < rule.least:
        yield Breach(rule.code, rule.severity, rule.key, {}, rule_keys(rule))
