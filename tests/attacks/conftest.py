"""A stopped service with a backup, as the tests of backups have it."""

from tests.vault.conftest import backed_up_service, backup, lived_in

__all__ = ["backed_up_service", "backup", "lived_in"]
