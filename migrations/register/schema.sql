-- Made from the migrations by `make schema`.
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
CREATE TABLE keys (
	slot INTEGER NOT NULL, 
	owner BLOB NOT NULL, 
	generation INTEGER NOT NULL, 
	kek_id VARCHAR(16) NOT NULL, 
	wrapped BLOB NOT NULL, 
	PRIMARY KEY (slot)
);
CREATE TABLE left_histories (
	id CHAR(32) NOT NULL, 
	made_at DATETIME NOT NULL, 
	sha256 VARCHAR(64) NOT NULL, 
	restored_at DATETIME NOT NULL, 
	PRIMARY KEY (id)
);
CREATE TABLE log_heads (
	size INTEGER NOT NULL, 
	root BLOB NOT NULL, 
	made_at DATETIME NOT NULL, 
	looked_at DATETIME NOT NULL, 
	PRIMARY KEY (size)
);
CREATE TABLE log_leaves (
	leaf BLOB NOT NULL, 
	"index" INTEGER NOT NULL, 
	PRIMARY KEY (leaf)
)
 WITHOUT ROWID

;
CREATE TABLE log_open_entries (
	leaf BLOB NOT NULL, 
	salt BLOB NOT NULL, 
	record TEXT NOT NULL, 
	joined BOOLEAN NOT NULL, 
	PRIMARY KEY (leaf)
);
CREATE TABLE log_signing_keys (
	id CHAR(32) NOT NULL, 
	signs VARCHAR(32) NOT NULL, 
	thumbprint VARCHAR(43) NOT NULL, 
	public BLOB NOT NULL, 
	sealed BLOB NOT NULL, 
	made_at DATETIME NOT NULL, 
	retired_at DATETIME, 
	stolen_at DATETIME, 
	stolen_size INTEGER, 
	PRIMARY KEY (id), 
	UNIQUE (thumbprint)
);
CREATE TABLE log_tiles (
	level INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	hashes BLOB NOT NULL, 
	guards BLOB NOT NULL, 
	PRIMARY KEY (level, position)
);
CREATE TABLE origin (
	id CHAR(32) NOT NULL, 
	proof BLOB NOT NULL, kek_id VARCHAR(16), 
	PRIMARY KEY (id)
);
CREATE TABLE tombstones (
	digest BLOB NOT NULL, 
	kind VARCHAR(32) NOT NULL, 
	ended_as VARCHAR(32) NOT NULL, 
	ended_on DATE NOT NULL, 
	PRIMARY KEY (digest)
);
CREATE INDEX keys_by_owner ON keys (owner);
CREATE INDEX open_entries_to_join ON log_open_entries (leaf) WHERE NOT joined;
