"""Objects that the routes of consent depend on."""

from typing import Annotated

from app.consent.facts import Facts
from app.web.dependencies import from_state

NoticeFacts = Annotated[Facts, from_state("notice_facts")]
"""The facts in force, which a notice must state."""
