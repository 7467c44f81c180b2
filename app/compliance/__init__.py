"""Live requirements, shipped notices and documents for the controller; it must never decide about a subject."""
