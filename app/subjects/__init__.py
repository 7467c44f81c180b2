"""People: registering, tokens, recovery, and what they call themselves."""
