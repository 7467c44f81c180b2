"""Access, export, erasure and retention; it must never refuse or delay a request because of how often it comes."""
