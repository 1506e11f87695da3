"""Sheets on their way to a run: each lies in a folder of its own and survives a restart."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bulkcast.pipeline import SheetOptions
from bulkcast.web.accounts import Account


@dataclass(frozen=True, slots=True)
class Draft:
    """An uploaded sheet on its way to a run."""

    id: str
    """Its name in addresses: `[a-z0-9-]+`."""
    folder: Path
    name: str
    """What the user calls the file; only ever text."""
    path: Path
    """The file as it was uploaded; it is never changed."""
    uploaded_at: float
    """Unix seconds."""
    resubmits: bool = False
    """Whether only the rows that need it are sent again; only for a result sheet."""
    options: SheetOptions = field(default_factory=SheetOptions)
    run: str = ""
    """The run that was made of it."""

    @property
    def address(self) -> str:
        """The path of its first screen."""
        return f"/drafts/{self.id}"


class Drafts:
    """The sheets on their way to a run, of every account."""

    def add_file(
        self, account: Account, path: Path, name: str, *, resubmits: bool = False
    ) -> Draft:
        """Copy a file, which the user calls `name`, into a new draft.

        Raises:
            CannotStart: it is no kind of sheet that can be read.

        """
        raise NotImplementedError

    def get(self, account: Account, draft_id: str) -> Draft:
        """The draft of an id.

        Raises:
            HTTPNotFound: there is none.

        """
        raise NotImplementedError

    def newest(self, account: Account) -> Sequence[Draft]:
        """The drafts that no run was made of, the newest first."""
        raise NotImplementedError

    def discard(self, account: Account, draft: Draft) -> None:
        """Remove a draft and its files."""
        raise NotImplementedError
