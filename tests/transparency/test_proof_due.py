"""While a leaf is not in the log, the answer names the time of the next batch."""

import math
from datetime import UTC, datetime

from tests.support.service_fixture import RunningService

UNKNOWN = "0" * 64


def test_the_time_of_the_next_batch_is_named_alike_for_a_pending_leaf_and_an_unknown_one(
    service: RunningService,
) -> None:
    consent = service.consent(service.person(), service.party())
    pending = consent["receipt"]["leaf"]
    interval = service.settings.log_interval
    due = datetime.fromtimestamp((datetime.now(UTC).timestamp() // interval + 1) * interval, UTC)
    answers = [service.client.get("/v1/log/proof", params={"leaf": leaf}) for leaf in (pending, UNKNOWN)]

    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].json()["detail"] == answers[1].json()["detail"]
    assert f"due at {due:%Y-%m-%dT%H:%M:%SZ}" in answers[0].json()["detail"]
    waited = math.ceil((due - datetime.now(UTC)).total_seconds())
    assert 0 <= int(answers[0].headers["Retry-After"]) - waited <= 60
