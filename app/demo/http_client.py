"""An outside client: it has an address, perhaps a token, and nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass

import httpx

from app.demo.narrator import Teller, short, shown
from app.demo.people import Photo

Upload = tuple[str, Photo]
"""The field of a form, and the photo in it."""


@dataclass(frozen=True, slots=True)
class Form:
    """A multipart body."""

    fields: dict[str, str]
    uploads: Sequence[Upload]


Body = dict[str, object] | Form | None
"""JSON, a form, or nothing."""


@dataclass(slots=True)
class Caller:
    """A person's client, or a relying party's."""

    http: httpx.Client
    teller: Teller
    token: str | None = None

    def call(
        self, method: str, path: str, body: Body = None, *, expect: int = 200, slug: str | None = None
    ) -> httpx.Response:
        """Send one request, show it and its answer, and check its status and the problem's *slug*.

        Raises:
            StepFailedError: another status or problem came.
        """
        self.teller.sent(f"{method} {path} {_body_shown(body)}")
        answer = self._send(method, path, body)
        held = answer.status_code == expect and slug in {None, slug_of(answer)}
        claim = answer_shown(answer) if held else f"{expect} {slug or ''}".strip()
        self.teller.check(claim, held=held, came=answer_shown(answer), most=3)
        return answer

    def _send(self, method: str, path: str, body: Body) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        if isinstance(body, Form):
            files = [(field, (photo.name, photo.content, "image/jpeg")) for field, photo in body.uploads]
            return self.http.request(method, path, data=body.fields, files=files, headers=headers)
        return self.http.request(method, path, json=body, headers=headers)


def slug_of(answer: httpx.Response) -> str | None:
    """Return the stable end of a problem's type, if *answer* is a problem."""
    if answer.headers.get("content-type", "").partition(";")[0] != "application/problem+json":
        return None
    return str(answer.json()["type"]).rpartition("/")[2].rpartition(":")[2].rpartition("#")[2]


def answer_shown(answer: httpx.Response) -> str:
    """Write an answer in one line: its status and what it says."""
    kind = answer.headers.get("content-type", "").partition(";")[0]
    match kind:
        case "application/problem+json":
            return f"{answer.status_code} {slug_of(answer)}: {answer.json().get('detail', '')}"
        case "application/json":
            return f"{answer.status_code} {shown(answer.json())}"
        case _:
            return f"{answer.status_code} {kind}, {len(answer.content):,} bytes"


def _body_shown(body: Body) -> str:
    if isinstance(body, Form):
        fields = [f"{field}={short(value)}" for field, value in body.fields.items()]
        return " ".join(fields + [f"{field}=@{photo.name}" for field, photo in body.uploads])
    return "" if body is None else shown(body)
