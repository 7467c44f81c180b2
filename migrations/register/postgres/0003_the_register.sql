-- The tables and indexes of SQLite's revision 0003.
CREATE TABLE keys (
    slot BIGSERIAL NOT NULL,
    owner BYTEA NOT NULL,
    generation INTEGER NOT NULL,
    kek_id VARCHAR(16) NOT NULL,
    wrapped BYTEA NOT NULL,
    PRIMARY KEY (slot)
);
CREATE TABLE left_histories (
    id UUID NOT NULL,
    made_at TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    sha256 VARCHAR(64) NOT NULL,
    restored_at TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    PRIMARY KEY (id)
);
CREATE TABLE log_heads (
    size BIGINT NOT NULL,
    root BYTEA NOT NULL,
    made_at TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    looked_at TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    PRIMARY KEY (size)
);
CREATE TABLE log_leaves (
    leaf BYTEA NOT NULL,
    index BIGINT NOT NULL,
    PRIMARY KEY (leaf)
);
CREATE TABLE log_open_entries (
    leaf BYTEA NOT NULL,
    salt BYTEA NOT NULL,
    record TEXT NOT NULL,
    joined BOOLEAN NOT NULL,
    PRIMARY KEY (leaf)
);
CREATE TABLE log_signing_keys (
    id UUID NOT NULL,
    signs VARCHAR(32) NOT NULL,
    thumbprint VARCHAR(43) NOT NULL,
    public BYTEA NOT NULL,
    sealed BYTEA NOT NULL,
    made_at TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    retired_at TIMESTAMP WITHOUT TIME ZONE,
    stolen_at TIMESTAMP WITHOUT TIME ZONE,
    stolen_size BIGINT,
    PRIMARY KEY (id),
    UNIQUE (thumbprint)
);
CREATE TABLE log_tiles (
    level INTEGER NOT NULL,
    position BIGINT NOT NULL,
    hashes BYTEA NOT NULL,
    guards BYTEA NOT NULL,
    PRIMARY KEY (level, position)
);
CREATE TABLE origin (
    id UUID NOT NULL,
    proof BYTEA NOT NULL,
    kek_id VARCHAR(16),
    PRIMARY KEY (id)
);
CREATE TABLE tombstones (
    digest BYTEA NOT NULL,
    kind VARCHAR(32) NOT NULL,
    ended_as VARCHAR(32) NOT NULL,
    ended_on DATE NOT NULL,
    PRIMARY KEY (digest)
);
CREATE INDEX keys_by_owner ON keys (owner);
CREATE INDEX open_entries_to_join ON log_open_entries (leaf) WHERE NOT joined;
