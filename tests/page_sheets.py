"""Sheets on the page: uploading one, and reading the forms of a screen."""

from io import BytesIO

import aiohttp
from lxml import html

from tests.page_client import Answer, PageClient
from tests.source_files import ROOT

SAMPLES = ROOT / "samples"


async def upload(
    client: PageClient, name: str, content: bytes | None = None, **fields: str
) -> Answer:
    """Upload a file, one of the samples unless its content is given."""
    form = aiohttp.FormData(quote_fields=False)
    for field, value in fields.items():
        form.add_field(field, value)
    held = (SAMPLES / name).read_bytes() if content is None else content
    form.add_field("file", BytesIO(held), filename=name, content_type="application/octet-stream")
    return await client.post("/upload", form)


async def paste(client: PageClient, text: str) -> Answer:
    """Paste cells."""
    form = aiohttp.FormData(default_to_multipart=True)
    form.add_field("file", b"", filename="", content_type="application/octet-stream")
    form.add_field("pasted", text)
    return await client.post("/upload", form)


def path_of(answer: Answer) -> str:
    """The path of the draft that a screen is about."""
    return "/drafts/" + answer.url.split("/drafts/")[1].split("/")[0].split("?")[0]


def fields(answer: Answer, action: str) -> dict[str, str]:
    """The fields of a form as they are sent if nothing is changed."""
    form = answer.tree.xpath(f"//form[contains(@action, '{action}')]")[0]
    return {name: str(value) for name, value in form.form_values()}


def banners(answer: Answer) -> list[str]:
    """The sentences that matter."""
    return [
        " ".join(e.text_content().split())
        for e in answer.tree.xpath("//*[contains(@class, 'banner ')]")
    ]


def chips(answer: Answer, facet: str) -> list[str]:
    """The filters and their counts."""
    found = answer.tree.xpath(f"//ul[@data-facets='{facet}']//a")
    return [" ".join(a.text_content().split()) for a in found]


def cell(answer: Answer, address: str) -> html.HtmlElement:
    """A cell of the grid."""
    (found,) = answer.tree.xpath(f"//td[@data-cell='{address}']")
    return found


def next_step(answer: Answer) -> str:
    """The one next step."""
    (found,) = answer.tree.xpath("//main//*[@data-next]")
    return " ".join(found.text_content().split())
