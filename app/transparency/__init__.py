"""Proof that can be held: a log of every act that nobody can rewrite unseen, and signed receipts of what people did.

An *entry* is the record of one act with a random salt. Its *leaf*, SHA-256(0x00 || salt || record), says nothing to who
has neither. Record and salt are sealed under the person's key in the data store, and go with it; the leaf is in the
register's tree for ever, so that every other proof still holds.

* `merkle`: the tree and its proofs (RFC 6962), pure; `tiles`: where it is kept.
* `checkpoint`: the signed size and root of the tree; `keys`: what signs them, and receipts.
* `entries`: what commits with an act, its leaf pending; `batch`: how pending leaves join the tree, on a
  clock, and `noising`: among how many others.
* `receipts`: what a receipt says; `issuing`: signs one; `verifying`: checks one, with nothing else of this program.
* `log`: what anybody may ask; `audit`: looks through all of it; `witness`: remembers a log for somebody else.
"""
