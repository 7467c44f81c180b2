"""SQLite stores: connections, transactions, file copies, storage faults."""
