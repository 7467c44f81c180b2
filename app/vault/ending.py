"""Acts that end something find room on a full disk: they release the ballast of the stores and run again."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy.exc import DBAPIError

from app.vault.vault import Vault

T = TypeVar("T")
P = ParamSpec("P")


@contextmanager
def ending(vault: Vault) -> Iterator[None]:
    """Allow the writes of an ending in the block, even while the ballast is spent."""
    with ExitStack() as stores:
        for store in (vault.data, vault.register.store):
            stores.enter_context(store.ending())
        yield


def run_ending(vault: Vault, act: Callable[[], T]) -> T:
    """Run *act*; if it meets a full disk, release the ballast and run it once more. Repeating it must be harmless."""
    with ending(vault):
        try:
            return act()
        except DBAPIError as error:
            if not _make_room(vault, error):
                raise
        return act()


def _make_room(vault: Vault, error: DBAPIError) -> bool:
    # Both stores may be on one disk.
    made = [store.make_room(error) for store in (vault.data, vault.register.store)]
    return any(made)


def ends(act: Callable[Concatenate[Vault, P], T]) -> Callable[Concatenate[Vault, P], T]:
    """Declare that *act* ends something. Every other write is refused while the ballast is spent."""

    @wraps(act)
    def run(vault: Vault, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return run_ending(vault, lambda: act(vault, *args, **kwargs))

    return run
