"""Objects that the routes of consent depend on."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from app.consent.facts import Facts
from app.web.application_state import ApplicationState, state_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentState(ApplicationState):
    """The state of the application, with the facts in force."""

    notice_facts: Facts


async def _notice_facts(request: Request) -> Facts:
    return state_of(request, ConsentState).notice_facts


NoticeFacts = Annotated[Facts, Depends(_notice_facts)]
"""The facts in force, which a notice must state."""
