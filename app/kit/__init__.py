"""Tools without domain words: settings, clock, database, HTTP, errors. Imports nothing else of the app."""
