"""Keys that can be destroyed: what is sealed under one is noise the moment it is gone.

Two stores. *Data may go back in time; the register never does*: a data backup is restored, the register is not, so a
key or a tombstone in the register decides what of a restored row is still true.

* `seal`: AES-256-GCM with a bound context; how keys are wrapped.
* `kek`: where the key-encryption keys are kept; `rotation`: from one to the next.
* `register`: keys by owner and generation, and tombstones.
* `vault`: both stores together; the one way in which anything ends.
* `purge`: finds the rows whose key is gone; `histories`: destroys the keys whose rows a restore left behind.
"""
