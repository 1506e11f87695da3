"""What every check of a sheet begins with: its columns understood, their readers at hand."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import tzinfo

from bulkcast.catalogue import Endpoint
from bulkcast.model import Issue, Severity
from bulkcast.validator.columns import Columns, is_result, resolve
from bulkcast.validator.duplicates import Treatment
from bulkcast.validator.readers import memory_for
from bulkcast.validator.rows import Column, RowChecker
from bulkcast.validator.suspicions import Suspicions


@dataclass(frozen=True, slots=True)
class CheckRules:
    """What the user decides about a check."""

    tz: tzinfo
    """Where times that name no offset are meant."""
    strict: bool = False
    """Whether a warning keeps a row from being sent."""
    duplicates: Treatment = "error"
    """What becomes of rows that set the same classroom differently."""
    mapping: Mapping[str, str] = field(default_factory=dict)
    """Header as the user wrote it → key of the setting it holds."""


class Checking:
    """A sheet's header, understood, and the check of its rows."""

    def __init__(
        self, headers: tuple[str, ...], header_row: int, endpoint: Endpoint, rules: CheckRules
    ) -> None:
        self.columns: Columns = resolve(headers, header_row, endpoint, rules.mapping)
        order = {column.key: place for place, column in enumerate(endpoint.columns)}
        held = sorted(self.columns.held.items(), key=lambda held: order[held[1].key])
        self.read = [
            Column(index, headers[index], setting, memory_for(setting, tz=rules.tz))
            for index, setting in held
        ]
        self.weigh: Callable[[Severity], Severity] = _strictly if rules.strict else _as_declared
        self.rows = RowChecker(self.read, endpoint, self.weigh)
        self._names = [
            index
            for index, header in enumerate(headers)
            if index not in self.columns.held and header.strip() and not is_result(header)
        ]

    def weighed(self, issues: Iterable[Issue]) -> tuple[Issue, ...]:
        """Issues of the file, as grave as they are here."""
        return tuple(replace(issue, severity=self.weigh(issue.severity)) for issue in issues)

    def other_tables(self) -> tuple[Issue, ...]:
        """The headers among the rows checked so far that are not the sheet's own."""
        return tuple(found for _, found in sorted(self.rows.other_tables.items()))

    def suspicions(self) -> Suspicions:
        """A fresh look at the ids of the sheet as a whole."""
        return Suspicions(self.read, self._names)


def _as_declared(severity: Severity) -> Severity:
    return severity


def _strictly(severity: Severity) -> Severity:
    return Severity.ERROR if severity is Severity.WARNING else severity
