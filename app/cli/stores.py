"""Open both stores for one command."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

from app.cli.command import print_profile
from app.settings import Settings
from app.startup import Run, prepare
from app.vault.directory_lock import in_use
from app.vault.open import open_vault
from app.vault.vault import Vault


@contextmanager
def open_stores(settings: Settings, *, run: Run | None = Run.COMMAND) -> Iterator[Vault]:
    """Open both stores for one command; set them up first if the data directory is empty, as `serve` does.

    Args:
        settings: the settings.
        run: the start steps to take; None takes none.
    """
    with in_use(settings.data_dir), closing(open_vault(settings)) as vault:
        if run is not None:
            prepare(vault, settings, run)
        yield vault
    print_profile(settings)
