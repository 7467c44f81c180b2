"""A real service with settings of its own, and people who enrol with it over HTTP."""

from typing import Any, Self

import httpx

from app.demo.service_process import ServiceProcess

UNHINDERED = {"MIEN_FREE_FAILURES": "100", "MIEN_FAILED_REFERENCES": "10000"}
"""So that pairs of strangers are compared, rather than refused as too many failures."""
PARTY = ("--contact", "bench@example.org", "--purpose", "verification", "--alternative", "a key card")


class Service(ServiceProcess):
    """The service in a process of its own, on temporary directories.

    Args:
        settings: by the names of their environment variables.
    """

    def __init__(self, **settings: str) -> None:
        super().__init__(keep=False, settings=UNHINDERED | settings)

    @property
    def pid(self) -> int:
        """Return the process that serves."""
        if self._process is None:
            raise SystemExit("it does not run")
        return self._process.pid


class Door:
    """A relying party with people who enrolled for it, one photo each."""

    def __init__(self, url: str, party_id: str, key: str, pid: int) -> None:
        self.pid = pid
        self.party_id = party_id
        self.http = httpx.Client(base_url=url, timeout=120, trust_env=False)
        self.references: dict[str, str] = {}
        self._key = {"Authorization": f"Bearer {key}"}

    @classmethod
    def at(cls, service: Service) -> Self:
        """Add a relying party to *service*."""
        party = service.command("relying-party", "add", "Door", *PARTY)
        return cls(service.url, party["relying_party_id"], party["api_key"], service.pid)

    def enrol(self, name: str, photo: bytes) -> None:
        """Register a subject, who consents and enrols *photo*."""
        given = self._ask("POST", "/v1/subjects", json={"declared_adult": True})
        me = {"Authorization": f"Bearer {given['access_token']}"}
        notices = self._ask("GET", "/v1/notices")["items"]
        notice = next(item["sha256"] for item in notices if item["purpose"] == "verification")
        body = {"purpose": "verification", "relying_party_id": self.party_id, "notice_sha256": notice}
        consent = self._ask("POST", "/v1/me/consents", headers=me, json=body)
        files = {"photos": ("photo.jpg", photo)}
        self._ask("POST", "/v1/me/enrolments", headers=me, data={"consent_id": consent["consent_id"]}, files=files)
        self.references[name] = consent["subject_ref"]

    def verify(self, name: str, probe: bytes) -> str:
        """Return the decision, or the title of the problem."""
        answer = self.http.post(
            "/v1/verifications",
            headers=self._key,
            data={"subject_ref": self.references[name]},
            files={"probe": ("probe.jpg", probe)},
        )
        said: dict[str, str] = answer.json()
        return said["decision"] if answer.is_success else said["title"]

    def _ask(self, method: str, path: str, **sent: Any) -> dict[str, Any]:  # noqa: ANN401 - httpx's own arguments
        answered: dict[str, Any] = self.http.request(method, path, **sent).raise_for_status().json()
        return answered
