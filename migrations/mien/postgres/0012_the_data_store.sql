-- The tables, indexes and triggers of SQLite's revision 0012, and the functions that compute row codes.
CREATE TABLE bound_to (
    origin_id UUID NOT NULL,
    PRIMARY KEY (origin_id)
);
CREATE TABLE endings (
    kind VARCHAR(32) NOT NULL,
    id UUID NOT NULL,
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
CREATE TABLE notices (
    sha256 VARCHAR(64) NOT NULL,
    purpose VARCHAR(32) NOT NULL,
    language VARCHAR(16) NOT NULL,
    version INTEGER NOT NULL,
    published_at TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    body BYTEA NOT NULL,
    template BYTEA,
    facts JSON,
    mac BYTEA,
    PRIMARY KEY (sha256),
    UNIQUE (purpose, language, version)
);
CREATE TABLE pending_leaves (
    leaf BYTEA NOT NULL,
    salt BYTEA,
    record TEXT,
    PRIMARY KEY (leaf)
);
CREATE TABLE relying_parties (
    id UUID NOT NULL,
    name VARCHAR(200) NOT NULL,
    contact VARCHAR(500) NOT NULL,
    alternative VARCHAR(2000) NOT NULL,
    context VARCHAR(2000),
    legal_basis VARCHAR(2000),
    added_on DATE NOT NULL,
    revoked_on DATE,
    callback VARCHAR(2000),
    callback_id UUID,
    mac BYTEA,
    PRIMARY KEY (id),
    UNIQUE (name)
);
CREATE TABLE restorations (
    id UUID NOT NULL,
    made_at TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    sha256 VARCHAR(64) NOT NULL,
    restored_at TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    PRIMARY KEY (id)
);
CREATE TABLE seen_heads (
    id INTEGER NOT NULL,
    size BIGINT NOT NULL,
    root BYTEA NOT NULL,
    note TEXT NOT NULL,
    PRIMARY KEY (id)
);
CREATE TABLE subjects (
    id UUID NOT NULL,
    registered_on DATE NOT NULL,
    sealed_name BYTEA,
    spell_id UUID,
    erasing BOOLEAN NOT NULL,
    history_cuts INTEGER DEFAULT '0' NOT NULL,
    mac BYTEA,
    PRIMARY KEY (id)
);
CREATE TABLE access_counts (
    id UUID NOT NULL,
    subject_id UUID NOT NULL,
    on_day DATE NOT NULL,
    times INTEGER NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (subject_id, on_day),
    FOREIGN KEY(subject_id) REFERENCES subjects (id) ON DELETE CASCADE
);
CREATE TABLE attempts (
    id UUID NOT NULL,
    subject_id UUID NOT NULL,
    last_on DATE NOT NULL,
    sealed BYTEA NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (subject_id),
    FOREIGN KEY(subject_id) REFERENCES subjects (id) ON DELETE CASCADE
);
CREATE TABLE comparisons (
    id UUID NOT NULL,
    subject_id UUID NOT NULL,
    position INTEGER NOT NULL,
    sealed BYTEA NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (subject_id, position),
    FOREIGN KEY(subject_id) REFERENCES subjects (id) ON DELETE CASCADE
);
CREATE TABLE consent_events (
    id UUID NOT NULL,
    subject_id UUID NOT NULL,
    position INTEGER NOT NULL,
    sealed BYTEA NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (subject_id, position),
    FOREIGN KEY(subject_id) REFERENCES subjects (id) ON DELETE CASCADE
);
CREATE TABLE deliveries (
    id UUID NOT NULL,
    subject_id UUID NOT NULL,
    position INTEGER NOT NULL,
    sealed BYTEA NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (subject_id, position),
    FOREIGN KEY(subject_id) REFERENCES subjects (id) ON DELETE CASCADE
);
CREATE TABLE disputes (
    id UUID NOT NULL,
    subject_id UUID NOT NULL,
    disputed_on DATE NOT NULL,
    sealed BYTEA NOT NULL,
    PRIMARY KEY (id),
    FOREIGN KEY(subject_id) REFERENCES subjects (id) ON DELETE CASCADE
);
CREATE TABLE entries (
    id UUID NOT NULL,
    subject_id UUID NOT NULL,
    position INTEGER NOT NULL,
    sealed BYTEA NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (subject_id, position),
    FOREIGN KEY(subject_id) REFERENCES subjects (id) ON DELETE CASCADE
);
CREATE TABLE erasures (
    id UUID NOT NULL,
    subject_id UUID,
    step VARCHAR(16) NOT NULL,
    held TEXT,
    rebuilt BOOLEAN NOT NULL,
    requested_on DATE NOT NULL,
    completed_on DATE,
    receipt TEXT,
    PRIMARY KEY (id),
    UNIQUE (subject_id),
    FOREIGN KEY(subject_id) REFERENCES subjects (id) ON DELETE SET NULL
);
CREATE TABLE failed_references (
    relying_party_id UUID NOT NULL,
    sealed BYTEA NOT NULL,
    PRIMARY KEY (relying_party_id),
    FOREIGN KEY(relying_party_id) REFERENCES relying_parties (id)
);
CREATE TABLE party_keys (
    id UUID NOT NULL,
    relying_party_id UUID NOT NULL,
    digest BYTEA NOT NULL,
    created_on DATE NOT NULL,
    ends_at TIMESTAMP WITHOUT TIME ZONE,
    mac BYTEA,
    PRIMARY KEY (id),
    FOREIGN KEY(relying_party_id) REFERENCES relying_parties (id),
    UNIQUE (digest)
);
CREATE TABLE party_purposes (
    relying_party_id UUID NOT NULL,
    purpose VARCHAR(32) NOT NULL,
    mac BYTEA,
    PRIMARY KEY (relying_party_id, purpose),
    FOREIGN KEY(relying_party_id) REFERENCES relying_parties (id)
);
CREATE TABLE receipts (
    id UUID NOT NULL,
    subject_id UUID NOT NULL,
    position INTEGER NOT NULL,
    sealed BYTEA NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (subject_id, position),
    FOREIGN KEY(subject_id) REFERENCES subjects (id) ON DELETE CASCADE
);
CREATE TABLE retired_notices (
    sha256 VARCHAR(64) NOT NULL,
    retired_at TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    PRIMARY KEY (sha256),
    FOREIGN KEY(sha256) REFERENCES notices (sha256)
);
CREATE TABLE tokens (
    id UUID NOT NULL,
    subject_id UUID NOT NULL,
    kind VARCHAR(16) NOT NULL,
    digest BYTEA NOT NULL,
    created_on DATE NOT NULL,
    last_used_on DATE,
    mac BYTEA,
    PRIMARY KEY (id),
    FOREIGN KEY(subject_id) REFERENCES subjects (id) ON DELETE CASCADE,
    UNIQUE (digest)
);
CREATE TABLE consent_proofs (
    digest BYTEA NOT NULL,
    notice_sha256 VARCHAR(64) NOT NULL,
    purpose VARCHAR(32) NOT NULL,
    relying_party_id UUID,
    given_on DATE NOT NULL,
    ended_on DATE,
    PRIMARY KEY (digest),
    FOREIGN KEY(relying_party_id, purpose) REFERENCES party_purposes (relying_party_id, purpose),
    FOREIGN KEY(notice_sha256) REFERENCES notices (sha256)
);
CREATE TABLE grants (
    id UUID NOT NULL,
    subject_id UUID NOT NULL,
    purpose VARCHAR(32) NOT NULL,
    relying_party_id UUID,
    subject_ref VARCHAR(64),
    notice_sha256 VARCHAR(64) NOT NULL,
    valid_until TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    spell_id UUID,
    mac BYTEA,
    PRIMARY KEY (id),
    FOREIGN KEY(relying_party_id, purpose) REFERENCES party_purposes (relying_party_id, purpose),
    UNIQUE (id, subject_id, purpose),
    UNIQUE (id, subject_id, purpose, relying_party_id),
    UNIQUE (relying_party_id, subject_ref, purpose),
    CONSTRAINT party_by_purpose CHECK ((purpose = 'template_renewal') = (relying_party_id IS NULL) AND (relying_party_id IS NULL) = (subject_ref IS NULL)),
    FOREIGN KEY(subject_id) REFERENCES subjects (id) ON DELETE CASCADE,
    FOREIGN KEY(notice_sha256) REFERENCES notices (sha256)
);
CREATE TABLE outbox (
    id UUID NOT NULL,
    subject_id UUID,
    erasure_id UUID,
    relying_party_id UUID NOT NULL,
    event VARCHAR(16) NOT NULL,
    subject_ref VARCHAR(64) NOT NULL,
    purpose VARCHAR(32) NOT NULL,
    made_on DATE NOT NULL,
    attempts INTEGER NOT NULL,
    mac BYTEA,
    PRIMARY KEY (id),
    UNIQUE (relying_party_id, subject_ref, purpose),
    FOREIGN KEY(subject_id) REFERENCES subjects (id) ON DELETE SET NULL,
    FOREIGN KEY(erasure_id) REFERENCES erasures (id) ON DELETE SET NULL,
    FOREIGN KEY(relying_party_id) REFERENCES relying_parties (id)
);
CREATE TABLE kept_answers (
    id UUID NOT NULL,
    subject_id UUID NOT NULL,
    grant_id UUID,
    lookup BYTEA NOT NULL,
    kept_on DATE NOT NULL,
    sealed BYTEA NOT NULL,
    PRIMARY KEY (id),
    FOREIGN KEY(subject_id) REFERENCES subjects (id) ON DELETE CASCADE,
    FOREIGN KEY(grant_id) REFERENCES grants (id) ON DELETE CASCADE,
    UNIQUE (lookup)
);
CREATE TABLE photos (
    id UUID NOT NULL,
    grant_id UUID NOT NULL,
    subject_id UUID NOT NULL,
    purpose VARCHAR(32) NOT NULL,
    enrolment_id UUID NOT NULL,
    position INTEGER NOT NULL,
    enrolled_on DATE NOT NULL,
    key_generation INTEGER NOT NULL,
    sealed BYTEA NOT NULL,
    PRIMARY KEY (id),
    FOREIGN KEY(grant_id, subject_id, purpose) REFERENCES grants (id, subject_id, purpose) ON DELETE CASCADE,
    CONSTRAINT purpose_of_a_photo CHECK (purpose = 'template_renewal'),
    UNIQUE (enrolment_id, position)
);
CREATE TABLE templates (
    id UUID NOT NULL,
    grant_id UUID NOT NULL,
    subject_id UUID NOT NULL,
    purpose VARCHAR(32) NOT NULL,
    relying_party_id UUID NOT NULL,
    enrolment_id UUID NOT NULL,
    enrolled_on DATE NOT NULL,
    engine_id VARCHAR(64) NOT NULL,
    weights_sha256 VARCHAR(64) NOT NULL,
    key_generation INTEGER NOT NULL,
    sealed BYTEA NOT NULL,
    entry_id UUID,
    not_renewable_by VARCHAR(64),
    PRIMARY KEY (id),
    FOREIGN KEY(grant_id, subject_id, purpose, relying_party_id) REFERENCES grants (id, subject_id, purpose, relying_party_id) ON DELETE CASCADE,
    CONSTRAINT purpose_of_a_template CHECK (purpose IN ('verification', 'identification')),
    UNIQUE (grant_id),
    FOREIGN KEY(entry_id) REFERENCES entries (id)
);
CREATE INDEX open_entries_that_wait ON pending_leaves (record) WHERE record IS NOT NULL;
CREATE INDEX access_counts_by_day ON access_counts (on_day);
CREATE INDEX ix_disputes_subject_id ON disputes (subject_id);
CREATE INDEX erasures_by_completion ON erasures (completed_on);
CREATE INDEX ix_party_keys_relying_party_id ON party_keys (relying_party_id);
CREATE INDEX ix_tokens_subject_id ON tokens (subject_id);
CREATE INDEX tokens_by_last_use ON tokens (last_used_on);
CREATE INDEX proofs_by_end ON consent_proofs (ended_on);
CREATE INDEX grants_by_end ON grants (valid_until);
CREATE UNIQUE INDEX one_grant_each ON grants (subject_id, purpose, relying_party_id);
CREATE UNIQUE INDEX one_renewal_grant_each ON grants (subject_id) WHERE relying_party_id IS NULL;
CREATE INDEX ix_outbox_erasure_id ON outbox (erasure_id);
CREATE INDEX ix_outbox_subject_id ON outbox (subject_id);
CREATE INDEX ix_kept_answers_grant_id ON kept_answers (grant_id);
CREATE INDEX ix_kept_answers_subject_id ON kept_answers (subject_id);
CREATE INDEX kept_answers_by_day ON kept_answers (kept_on);
CREATE INDEX ix_photos_grant_id ON photos (grant_id);
CREATE INDEX ix_photos_subject_id ON photos (subject_id);
CREATE INDEX ix_templates_enrolment_id ON templates (enrolment_id);
CREATE INDEX ix_templates_subject_id ON templates (subject_id);
CREATE INDEX templates_by_engine ON templates (weights_sha256, engine_id);

CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING MESSAGE = TG_ARGV[0], ERRCODE = 'integrity_constraint_violation';
END $$;

CREATE FUNCTION refuse_comparison_without_entry() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM entries WHERE id = NEW.id AND subject_id = NEW.subject_id) THEN
        RAISE EXCEPTION 'a row of comparisons has an entry in the log'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION refuse_event_without_receipt() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM receipts WHERE id = NEW.id AND subject_id = NEW.subject_id) THEN
        RAISE EXCEPTION 'a row of consent_events has an entry in the log'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION refuse_template_without_entry() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM entries WHERE id = NEW.entry_id AND subject_id = NEW.subject_id) THEN
        RAISE EXCEPTION 'a row of templates has an entry in the log'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION refuse_template_without_engine() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT 1 FROM engines WHERE weights_sha256 = NEW.weights_sha256 AND engine_id = NEW.engine_id
    ) THEN
        RAISE EXCEPTION 'a template needs an engine that was in force'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION keep_engine_of_templates() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM templates WHERE weights_sha256 = OLD.weights_sha256) THEN
        RAISE EXCEPTION 'there are templates of this engine' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN OLD;
END $$;

CREATE FUNCTION refuse_retired_notice() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM retired_notices WHERE sha256 = NEW.notice_sha256) THEN
        RAISE EXCEPTION 'a retired notice takes no new consents' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION delete_photos_of_the_last_consent() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM photos
    WHERE enrolment_id IN (SELECT enrolment_id FROM templates WHERE grant_id = OLD.id)
      AND enrolment_id NOT IN (SELECT enrolment_id FROM templates WHERE grant_id <> OLD.id);
    RETURN OLD;
END $$;

CREATE TRIGGER comparisons_have_an_entry BEFORE INSERT ON comparisons
    FOR EACH ROW EXECUTE FUNCTION refuse_comparison_without_entry();
CREATE TRIGGER consent_events_have_an_entry BEFORE INSERT ON consent_events
    FOR EACH ROW EXECUTE FUNCTION refuse_event_without_receipt();
CREATE TRIGGER consent_events_never_update BEFORE UPDATE ON consent_events
    FOR EACH ROW EXECUTE FUNCTION refuse('rows of consent_events are never changed: UPDATE');
CREATE TRIGGER engines_are_never_renamed BEFORE UPDATE OF engine_id, weights_sha256 ON engines
    FOR EACH ROW EXECUTE FUNCTION refuse('an engine is never renamed');
CREATE TRIGGER engines_have_templates BEFORE DELETE ON engines
    FOR EACH ROW EXECUTE FUNCTION keep_engine_of_templates();
CREATE TRIGGER no_consent_to_a_retired_notice BEFORE INSERT ON grants
    FOR EACH ROW EXECUTE FUNCTION refuse_retired_notice();
CREATE TRIGGER notices_never_delete BEFORE DELETE ON notices
    FOR EACH ROW EXECUTE FUNCTION refuse('rows of notices are never changed: DELETE');
CREATE TRIGGER notices_never_update
    BEFORE UPDATE OF sha256, purpose, language, version, published_at, body, template, facts ON notices
    FOR EACH ROW EXECUTE FUNCTION refuse('rows of notices are never changed: UPDATE');
CREATE TRIGGER notices_record_their_facts BEFORE INSERT ON notices
    FOR EACH ROW WHEN (NEW.facts IS NULL OR NEW.template IS NULL)
    EXECUTE FUNCTION refuse('a notice records the facts that it states');
CREATE TRIGGER photos_end_with_the_last_consent BEFORE DELETE ON grants
    FOR EACH ROW EXECUTE FUNCTION delete_photos_of_the_last_consent();
CREATE TRIGGER receipts_never_update BEFORE UPDATE ON receipts
    FOR EACH ROW EXECUTE FUNCTION refuse('rows of receipts are never changed: UPDATE');
CREATE TRIGGER retired_notices_never_delete BEFORE DELETE ON retired_notices
    FOR EACH ROW EXECUTE FUNCTION refuse('rows of retired_notices are never changed: DELETE');
CREATE TRIGGER retired_notices_never_update BEFORE UPDATE ON retired_notices
    FOR EACH ROW EXECUTE FUNCTION refuse('rows of retired_notices are never changed: UPDATE');
CREATE TRIGGER templates_are_never_relabelled BEFORE UPDATE OF engine_id, weights_sha256 ON templates
    FOR EACH ROW EXECUTE FUNCTION refuse('what a template was made by is never changed');
CREATE TRIGGER templates_have_an_engine BEFORE INSERT ON templates
    FOR EACH ROW EXECUTE FUNCTION refuse_template_without_engine();
CREATE TRIGGER templates_have_an_entry BEFORE INSERT ON templates
    FOR EACH ROW EXECUTE FUNCTION refuse_template_without_entry();

-- HMAC-SHA-256 of a row. The program gives its sessions the key, as the two padded keys in hexadecimal; a session
-- without it gets NULL.
CREATE FUNCTION mien_row_code(VARIADIC columns text[]) RETURNS bytea LANGUAGE sql STABLE AS $$
    SELECT sha256(
        decode(substr(padded, 129), 'hex')
        || sha256(decode(substr(padded, 1, 128), 'hex') || convert_to(array_to_json(columns)::text, 'UTF8'))
    )
    FROM (SELECT nullif(current_setting('mien.row_key', true), '') AS padded) AS session
$$;

-- The notice names a row that does not fit, by its table and at most three columns, to the session that read it.
CREATE FUNCTION mien_row_fits(mac bytea, VARIADIC columns text[]) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF mac = mien_row_code(VARIADIC columns) THEN
        RETURN true;
    END IF;
    -- An outer join without a row gives NULL.
    IF columns[2] IS NOT NULL THEN
        RAISE NOTICE 'mien row %', array_to_json(columns[1:3]);
    END IF;
    RETURN false;
END $$;
