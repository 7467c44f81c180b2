-- Made from the migrations by `make schema`.
CREATE TABLE access_counts (
	id CHAR(32) NOT NULL, 
	subject_id CHAR(32) NOT NULL, 
	on_day DATE NOT NULL, 
	times INTEGER NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(subject_id) REFERENCES subjects (id) ON DELETE CASCADE, 
	UNIQUE (subject_id, on_day)
);
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
CREATE TABLE attempts (
	id CHAR(32) NOT NULL, 
	subject_id CHAR(32) NOT NULL, 
	last_on DATE NOT NULL, 
	sealed BLOB NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(subject_id) REFERENCES subjects (id) ON DELETE CASCADE, 
	UNIQUE (subject_id)
);
CREATE TABLE bound_to (
	origin_id CHAR(32) NOT NULL, 
	PRIMARY KEY (origin_id)
);
CREATE TABLE comparisons (
	id CHAR(32) NOT NULL, 
	subject_id CHAR(32) NOT NULL, 
	position INTEGER NOT NULL, 
	sealed BLOB NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(subject_id) REFERENCES subjects (id) ON DELETE CASCADE, 
	UNIQUE (subject_id, position)
);
CREATE TABLE consent_events (
	id CHAR(32) NOT NULL, 
	subject_id CHAR(32) NOT NULL, 
	position INTEGER NOT NULL, 
	sealed BLOB NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(subject_id) REFERENCES subjects (id) ON DELETE CASCADE, 
	UNIQUE (subject_id, position)
);
CREATE TABLE consent_proofs (
	digest BLOB NOT NULL, 
	notice_sha256 VARCHAR(64) NOT NULL, 
	purpose VARCHAR(32) NOT NULL, 
	relying_party_id CHAR(32), 
	given_on DATE NOT NULL, 
	ended_on DATE, 
	PRIMARY KEY (digest), 
	FOREIGN KEY(notice_sha256) REFERENCES notices (sha256), 
	FOREIGN KEY(relying_party_id, purpose) REFERENCES party_purposes (relying_party_id, purpose)
)
 WITHOUT ROWID

;
CREATE TABLE deliveries (
	id CHAR(32) NOT NULL, 
	subject_id CHAR(32) NOT NULL, 
	position INTEGER NOT NULL, 
	sealed BLOB NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(subject_id) REFERENCES subjects (id) ON DELETE CASCADE, 
	UNIQUE (subject_id, position)
);
CREATE TABLE disputes (
	id CHAR(32) NOT NULL, 
	subject_id CHAR(32) NOT NULL, 
	disputed_on DATE NOT NULL, 
	sealed BLOB NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(subject_id) REFERENCES subjects (id) ON DELETE CASCADE
);
CREATE TABLE endings (
	kind VARCHAR(32) NOT NULL, 
	id CHAR(32) NOT NULL, 
	ended_as VARCHAR(32) NOT NULL, 
	ended_on DATE NOT NULL, 
	PRIMARY KEY (kind, id)
);
CREATE TABLE engines (
	weights_sha256 VARCHAR(64) NOT NULL, 
	engine_id VARCHAR(64) NOT NULL, 
	in_force_from DATE NOT NULL, 
	in_force_until DATE, 
	templates_end_on DATE, 
	PRIMARY KEY (weights_sha256)
);
CREATE TABLE entries (
	id CHAR(32) NOT NULL, 
	subject_id CHAR(32) NOT NULL, 
	position INTEGER NOT NULL, 
	sealed BLOB NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(subject_id) REFERENCES subjects (id) ON DELETE CASCADE, 
	UNIQUE (subject_id, position)
);
CREATE TABLE erasures (
	id CHAR(32) NOT NULL, 
	subject_id CHAR(32), 
	step VARCHAR(16) NOT NULL, 
	rebuilt BOOLEAN NOT NULL, 
	requested_on DATE NOT NULL, 
	completed_on DATE, held TEXT, receipt TEXT, 
	PRIMARY KEY (id), 
	FOREIGN KEY(subject_id) REFERENCES subjects (id) ON DELETE SET NULL, 
	UNIQUE (subject_id)
);
CREATE TABLE failed_references (
	relying_party_id CHAR(32) NOT NULL, 
	sealed BLOB NOT NULL, 
	PRIMARY KEY (relying_party_id), 
	FOREIGN KEY(relying_party_id) REFERENCES relying_parties (id)
);
CREATE TABLE grants (
	id CHAR(32) NOT NULL, 
	subject_id CHAR(32) NOT NULL, 
	purpose VARCHAR(32) NOT NULL, 
	relying_party_id CHAR(32), 
	subject_ref VARCHAR(64), 
	notice_sha256 VARCHAR(64) NOT NULL, 
	valid_until DATETIME NOT NULL, spell_id CHAR(32), mac BLOB, 
	PRIMARY KEY (id), 
	CONSTRAINT party_by_purpose CHECK ((purpose = 'template_renewal') = (relying_party_id IS NULL) AND (relying_party_id IS NULL) = (subject_ref IS NULL)), 
	FOREIGN KEY(notice_sha256) REFERENCES notices (sha256), 
	FOREIGN KEY(relying_party_id, purpose) REFERENCES party_purposes (relying_party_id, purpose), 
	FOREIGN KEY(subject_id) REFERENCES subjects (id) ON DELETE CASCADE, 
	UNIQUE (id, subject_id, purpose), 
	UNIQUE (id, subject_id, purpose, relying_party_id), 
	UNIQUE (relying_party_id, subject_ref, purpose)
);
CREATE TABLE kept_answers (
	id CHAR(32) NOT NULL, 
	subject_id CHAR(32) NOT NULL, 
	grant_id CHAR(32), 
	lookup BLOB NOT NULL, 
	kept_on DATE NOT NULL, 
	sealed BLOB NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(subject_id) REFERENCES subjects (id) ON DELETE CASCADE, 
	FOREIGN KEY(grant_id) REFERENCES grants (id) ON DELETE CASCADE, 
	UNIQUE (lookup)
);
CREATE TABLE notices (
	sha256 VARCHAR(64) NOT NULL, 
	purpose VARCHAR(32) NOT NULL, 
	language VARCHAR(16) NOT NULL, 
	version INTEGER NOT NULL, 
	published_at DATETIME NOT NULL, 
	body BLOB NOT NULL, template BLOB, facts JSON, mac BLOB, 
	PRIMARY KEY (sha256), 
	UNIQUE (purpose, language, version)
);
CREATE TABLE outbox (
	id CHAR(32) NOT NULL, 
	subject_id CHAR(32), 
	erasure_id CHAR(32), 
	relying_party_id CHAR(32) NOT NULL, 
	event VARCHAR(16) NOT NULL, 
	subject_ref VARCHAR(64) NOT NULL, 
	purpose VARCHAR(32) NOT NULL, 
	made_on DATE NOT NULL, 
	attempts INTEGER NOT NULL, mac BLOB, 
	PRIMARY KEY (id), 
	FOREIGN KEY(subject_id) REFERENCES subjects (id) ON DELETE SET NULL, 
	FOREIGN KEY(erasure_id) REFERENCES erasures (id) ON DELETE SET NULL, 
	FOREIGN KEY(relying_party_id) REFERENCES relying_parties (id), 
	UNIQUE (relying_party_id, subject_ref, purpose)
)
 WITHOUT ROWID

;
CREATE TABLE party_keys (
	id CHAR(32) NOT NULL, 
	relying_party_id CHAR(32) NOT NULL, 
	digest BLOB NOT NULL, 
	created_on DATE NOT NULL, ends_at DATETIME, mac BLOB, 
	PRIMARY KEY (id), 
	FOREIGN KEY(relying_party_id) REFERENCES relying_parties (id), 
	UNIQUE (digest)
);
CREATE TABLE party_purposes (
	relying_party_id CHAR(32) NOT NULL, 
	purpose VARCHAR(32) NOT NULL, mac BLOB, 
	PRIMARY KEY (relying_party_id, purpose), 
	FOREIGN KEY(relying_party_id) REFERENCES relying_parties (id)
);
CREATE TABLE pending_leaves (
	leaf BLOB NOT NULL, 
	salt BLOB, 
	record TEXT, 
	PRIMARY KEY (leaf)
)
 WITHOUT ROWID

;
CREATE TABLE photos (
	id CHAR(32) NOT NULL, 
	grant_id CHAR(32) NOT NULL, 
	subject_id CHAR(32) NOT NULL, 
	purpose VARCHAR(32) NOT NULL, 
	enrolment_id CHAR(32) NOT NULL, 
	position INTEGER NOT NULL, 
	enrolled_on DATE NOT NULL, 
	key_generation INTEGER NOT NULL, 
	sealed BLOB NOT NULL, 
	PRIMARY KEY (id), 
	CONSTRAINT purpose_of_a_photo CHECK (purpose = 'template_renewal'), 
	FOREIGN KEY(grant_id, subject_id, purpose) REFERENCES grants (id, subject_id, purpose) ON DELETE CASCADE, 
	UNIQUE (enrolment_id, position)
);
CREATE TABLE receipts (
	id CHAR(32) NOT NULL, 
	subject_id CHAR(32) NOT NULL, 
	position INTEGER NOT NULL, 
	sealed BLOB NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(subject_id) REFERENCES subjects (id) ON DELETE CASCADE, 
	UNIQUE (subject_id, position)
);
CREATE TABLE relying_parties (
	id CHAR(32) NOT NULL, 
	name VARCHAR(200) NOT NULL, 
	contact VARCHAR(500) NOT NULL, 
	alternative VARCHAR(2000) NOT NULL, 
	added_on DATE NOT NULL, 
	revoked_on DATE, callback VARCHAR(2000), callback_id CHAR(32), context VARCHAR(2000), legal_basis VARCHAR(2000), mac BLOB, 
	PRIMARY KEY (id), 
	UNIQUE (name)
);
CREATE TABLE restorations (
	id CHAR(32) NOT NULL, 
	made_at DATETIME NOT NULL, 
	sha256 VARCHAR(64) NOT NULL, 
	restored_at DATETIME NOT NULL, 
	PRIMARY KEY (id)
);
CREATE TABLE retired_notices (
	sha256 VARCHAR(64) NOT NULL, 
	retired_at DATETIME NOT NULL, 
	PRIMARY KEY (sha256), 
	FOREIGN KEY(sha256) REFERENCES notices (sha256)
);
CREATE TABLE seen_heads (
	id INTEGER NOT NULL, 
	size INTEGER NOT NULL, 
	root BLOB NOT NULL, 
	note TEXT NOT NULL, 
	PRIMARY KEY (id)
);
CREATE TABLE subjects (
	id CHAR(32) NOT NULL, 
	registered_on DATE NOT NULL, 
	sealed_name BLOB, 
	erasing BOOLEAN NOT NULL, spell_id CHAR(32), history_cuts INTEGER DEFAULT '0' NOT NULL, mac BLOB, 
	PRIMARY KEY (id)
);
CREATE TABLE templates (
	id CHAR(32) NOT NULL, 
	grant_id CHAR(32) NOT NULL, 
	subject_id CHAR(32) NOT NULL, 
	purpose VARCHAR(32) NOT NULL, 
	relying_party_id CHAR(32) NOT NULL, 
	enrolment_id CHAR(32) NOT NULL, 
	enrolled_on DATE NOT NULL, 
	engine_id VARCHAR(64) NOT NULL, 
	weights_sha256 VARCHAR(64) NOT NULL, 
	key_generation INTEGER NOT NULL, 
	sealed BLOB NOT NULL, entry_id CHAR(32) REFERENCES entries (id), not_renewable_by VARCHAR(64), 
	PRIMARY KEY (id), 
	CONSTRAINT purpose_of_a_template CHECK (purpose IN ('verification', 'identification')), 
	FOREIGN KEY(grant_id, subject_id, purpose, relying_party_id) REFERENCES grants (id, subject_id, purpose, relying_party_id) ON DELETE CASCADE, 
	UNIQUE (grant_id)
);
CREATE TABLE tokens (
	id CHAR(32) NOT NULL, 
	subject_id CHAR(32) NOT NULL, 
	kind VARCHAR(16) NOT NULL, 
	digest BLOB NOT NULL, 
	created_on DATE NOT NULL, last_used_on DATE, mac BLOB, 
	PRIMARY KEY (id), 
	FOREIGN KEY(subject_id) REFERENCES subjects (id) ON DELETE CASCADE, 
	UNIQUE (digest)
);
CREATE INDEX access_counts_by_day ON access_counts (on_day);
CREATE INDEX erasures_by_completion ON erasures (completed_on);
CREATE INDEX grants_by_end ON grants (valid_until);
CREATE INDEX ix_disputes_subject_id ON disputes (subject_id);
CREATE INDEX ix_kept_answers_grant_id ON kept_answers (grant_id);
CREATE INDEX ix_kept_answers_subject_id ON kept_answers (subject_id);
CREATE INDEX ix_outbox_erasure_id ON outbox (erasure_id);
CREATE INDEX ix_outbox_subject_id ON outbox (subject_id);
CREATE INDEX ix_party_keys_relying_party_id ON party_keys (relying_party_id);
CREATE INDEX ix_photos_grant_id ON photos (grant_id);
CREATE INDEX ix_photos_subject_id ON photos (subject_id);
CREATE INDEX ix_templates_enrolment_id ON templates (enrolment_id);
CREATE INDEX ix_templates_subject_id ON templates (subject_id);
CREATE INDEX ix_tokens_subject_id ON tokens (subject_id);
CREATE INDEX kept_answers_by_day ON kept_answers (kept_on);
CREATE UNIQUE INDEX one_grant_each ON grants (subject_id, purpose, relying_party_id);
CREATE UNIQUE INDEX one_renewal_grant_each ON grants (subject_id) WHERE relying_party_id IS NULL;
CREATE INDEX open_entries_that_wait ON pending_leaves (record) WHERE record IS NOT NULL;
CREATE INDEX proofs_by_end ON consent_proofs (ended_on);
CREATE INDEX templates_by_engine ON templates (weights_sha256, engine_id);
CREATE INDEX tokens_by_last_use ON tokens (last_used_on);
CREATE TRIGGER comparisons_have_an_entry BEFORE INSERT ON comparisons WHEN NOT EXISTS (SELECT 1 FROM entries WHERE id = NEW.id AND subject_id = NEW.subject_id) BEGIN SELECT RAISE(ABORT, 'a row of comparisons has an entry in the log'); END;
CREATE TRIGGER consent_events_have_an_entry BEFORE INSERT ON consent_events WHEN NOT EXISTS (SELECT 1 FROM receipts WHERE id = NEW.id AND subject_id = NEW.subject_id) BEGIN SELECT RAISE(ABORT, 'a row of consent_events has an entry in the log'); END;
CREATE TRIGGER consent_events_never_update BEFORE UPDATE ON consent_events BEGIN SELECT RAISE(ABORT, 'rows of consent_events are never changed: UPDATE'); END;
CREATE TRIGGER engines_are_never_renamed BEFORE UPDATE OF engine_id, weights_sha256 ON engines
BEGIN SELECT RAISE(ABORT, 'an engine is never renamed'); END;
CREATE TRIGGER engines_have_templates BEFORE DELETE ON engines
WHEN EXISTS (SELECT 1 FROM templates WHERE weights_sha256 = OLD.weights_sha256)
BEGIN SELECT RAISE(ABORT, 'there are templates of this engine'); END;
CREATE TRIGGER no_consent_to_a_retired_notice BEFORE INSERT ON grants
WHEN EXISTS (SELECT 1 FROM retired_notices WHERE sha256 = NEW.notice_sha256)
BEGIN SELECT RAISE(ABORT, 'a retired notice takes no new consents'); END;
CREATE TRIGGER notices_never_delete BEFORE DELETE ON notices BEGIN SELECT RAISE(ABORT, 'rows of notices are never changed: DELETE'); END;
CREATE TRIGGER notices_never_update BEFORE UPDATE OF sha256, purpose, language, version, published_at, body, template, facts ON notices BEGIN SELECT RAISE(ABORT, 'rows of notices are never changed: UPDATE'); END;
CREATE TRIGGER notices_record_their_facts BEFORE INSERT ON notices
WHEN NEW.facts IS NULL OR NEW.template IS NULL
BEGIN SELECT RAISE(ABORT, 'a notice records the facts that it states'); END;
CREATE TRIGGER photos_end_with_the_last_consent BEFORE DELETE ON grants
BEGIN
  DELETE FROM photos
  WHERE enrolment_id IN (SELECT enrolment_id FROM templates WHERE grant_id = OLD.id)
    AND enrolment_id NOT IN (SELECT enrolment_id FROM templates WHERE grant_id <> OLD.id);
END;
CREATE TRIGGER receipts_never_update BEFORE UPDATE ON receipts BEGIN SELECT RAISE(ABORT, 'rows of receipts are never changed: UPDATE'); END;
CREATE TRIGGER retired_notices_never_delete BEFORE DELETE ON retired_notices BEGIN SELECT RAISE(ABORT, 'rows of retired_notices are never changed: DELETE'); END;
CREATE TRIGGER retired_notices_never_update BEFORE UPDATE ON retired_notices BEGIN SELECT RAISE(ABORT, 'rows of retired_notices are never changed: UPDATE'); END;
CREATE TRIGGER templates_are_never_relabelled BEFORE UPDATE OF engine_id, weights_sha256 ON templates
BEGIN SELECT RAISE(ABORT, 'what a template was made by is never changed'); END;
CREATE TRIGGER templates_have_an_engine BEFORE INSERT ON templates
WHEN NOT EXISTS
  (SELECT 1 FROM engines WHERE weights_sha256 = NEW.weights_sha256 AND engine_id = NEW.engine_id)
BEGIN SELECT RAISE(ABORT, 'a template needs an engine that was in force'); END;
CREATE TRIGGER templates_have_an_entry BEFORE INSERT ON templates WHEN NOT EXISTS (SELECT 1 FROM entries WHERE id = NEW.entry_id AND subject_id = NEW.subject_id) BEGIN SELECT RAISE(ABORT, 'a row of templates has an entry in the log'); END;
