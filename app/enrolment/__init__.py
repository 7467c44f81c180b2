"""From the subject's own photos to one sealed reference per grant. It must never keep part of a refused enrolment."""
