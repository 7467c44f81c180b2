"""Owns the comparison history, disputes and limits on failures, for 1:1 and 1:N. It must never compare faces."""
