"""A tree that is walked from its first leaf to its last, and of which no more is remembered than its right edge. Pure.

So whoever looks through a whole log needs O(log n) of memory, and has the root of every size on the way.
"""

from app.transparency.verify import merkle


class Frontier:
    """The tree of the leaves so far."""

    def __init__(self) -> None:
        self.size = 0
        self._edge: list[bytes] = []
        """The complete subtrees that it is put together from, the largest first: one for each bit of the size."""

    def add(self, leaf: bytes) -> list[bytes]:
        """Add a leaf; return the complete subtrees that it is the last leaf of, from itself up."""
        done = [leaf]
        while self.size >> (len(done) - 1) & 1:
            done.append(merkle.node_hash(self._edge.pop(), done[-1]))
        self._edge.append(done[-1])
        self.size += 1
        return done

    def root(self) -> bytes:
        """Return the root of the leaves so far."""
        if not self._edge:
            return merkle.EMPTY_ROOT
        *larger, whole = self._edge
        for one in reversed(larger):
            whole = merkle.node_hash(one, whole)
        return whole
