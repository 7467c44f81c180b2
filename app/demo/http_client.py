"""An outside HTTP client: it has an address, perhaps a token, and nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass

import httpx

from app.demo.narrator import Narrator, one_line, shorten
from app.demo.people import PhotoFile


@dataclass(frozen=True, slots=True)
class MultipartForm:
    """A multipart body; each upload has the name of its field."""

    fields: dict[str, str]
    uploads: Sequence[tuple[str, PhotoFile]]


Body = dict[str, object] | MultipartForm | None
"""JSON, a form, or nothing."""


@dataclass(slots=True)
class Client:
    """The client of a person or of a relying party."""

    http: httpx.Client
    narrator: Narrator
    token: str | None = None

    def call(
        self, method: str, path: str, body: Body = None, *, expect: int = 200, slug: str | None = None
    ) -> httpx.Response:
        """Send a request, show it with its answer, and check the answer's status and the problem's *slug*.

        Raises:
            StepFailedError: another status or problem came.
        """
        self.narrator.request(f"{method} {path} {_body_line(body)}")
        answer = self._send(method, path, body)
        passed = answer.status_code == expect and slug in {None, problem_slug(answer)}
        claim = answer_line(answer) if passed else f"{expect} {slug or ''}".strip()
        self.narrator.check(claim, passed=passed, result=answer_line(answer), max_lines=3)
        return answer

    def _send(self, method: str, path: str, body: Body) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        if isinstance(body, MultipartForm):
            files = [(field, (photo.name, photo.content, "image/jpeg")) for field, photo in body.uploads]
            return self.http.request(method, path, data=body.fields, files=files, headers=headers)
        return self.http.request(method, path, json=body, headers=headers)


def _media_type(answer: httpx.Response) -> str:
    return str(answer.headers.get("content-type", "")).partition(";")[0]


def problem_slug(answer: httpx.Response) -> str | None:
    """Return the end of a problem's type, which never changes; None if *answer* is no problem."""
    if _media_type(answer) != "application/problem+json":
        return None
    return str(answer.json()["type"]).rpartition("/")[2].rpartition(":")[2].rpartition("#")[2]


def answer_line(answer: httpx.Response) -> str:
    """Return the status and the content of an answer in one line."""
    match _media_type(answer):
        case "application/problem+json":
            return f"{answer.status_code} {problem_slug(answer)}: {answer.json().get('detail', '')}"
        case "application/json":
            return f"{answer.status_code} {one_line(answer.json())}"
        case other:
            return f"{answer.status_code} {other}, {len(answer.content):,} bytes"


def _body_line(body: Body) -> str:
    if isinstance(body, MultipartForm):
        fields = [f"{field}={shorten(value)}" for field, value in body.fields.items()]
        return " ".join(fields + [f"{field}=@{photo.name}" for field, photo in body.uploads])
    return "" if body is None else one_line(body)
