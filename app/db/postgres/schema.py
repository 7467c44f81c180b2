"""The schema of a PostgreSQL database, object by object, as the server describes it."""

import json
from pathlib import Path

from sqlalchemy import Connection

from app.db.schema import Schema, collect_schema

QUERY = """
WITH ours AS (SELECT oid FROM pg_namespace WHERE nspname = 'public'),
     known AS (SELECT c.* FROM pg_class c JOIN ours ON c.relnamespace = ours.oid)
SELECT 'table', relname::text, relname::text,
       concat_ws(' ', relkind, relpersistence, relrowsecurity, relforcerowsecurity, relispartition, reloptions)
FROM known WHERE relkind <> 'i'
UNION ALL
SELECT 'column', t.relname || '.' || a.attname, t.relname::text,
       concat_ws(' ', format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN 'NOT NULL' END,
                 pg_get_expr(d.adbin, d.adrelid), a.attidentity, a.attgenerated)
FROM known t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
     LEFT JOIN pg_attrdef d ON d.adrelid = t.oid AND d.adnum = a.attnum
WHERE t.relkind IN ('r', 'p', 'v', 'm', 'f')
UNION ALL
SELECT 'constraint', t.relname || '.' || c.conname, t.relname::text,
       concat_ws(' ', pg_get_constraintdef(c.oid), c.convalidated)
FROM pg_constraint c JOIN known t ON c.conrelid = t.oid
WHERE c.contype <> 'n'
UNION ALL
SELECT 'index', i.relname::text, t.relname::text, concat_ws(' ', pg_get_indexdef(x.indexrelid), x.indisvalid)
FROM pg_index x JOIN known i ON i.oid = x.indexrelid JOIN known t ON t.oid = x.indrelid
UNION ALL
SELECT 'trigger', t.relname || '.' || g.tgname, t.relname::text, concat_ws(' ', pg_get_triggerdef(g.oid), g.tgenabled)
FROM pg_trigger g JOIN known t ON t.oid = g.tgrelid
WHERE NOT g.tgisinternal
UNION ALL
SELECT 'disabled foreign key', t.relname || '.' || c.conname, t.relname::text, g.tgenabled::text
FROM pg_trigger g JOIN known t ON t.oid = g.tgrelid JOIN pg_constraint c ON c.oid = g.tgconstraint
WHERE g.tgisinternal AND g.tgenabled <> 'O'
UNION ALL
SELECT 'rule', t.relname || '.' || r.rulename, t.relname::text, pg_get_ruledef(r.oid)
FROM pg_rewrite r JOIN known t ON t.oid = r.ev_class
UNION ALL
SELECT 'policy', t.relname || '.' || p.polname, t.relname::text, p.polcmd::text
FROM pg_policy p JOIN known t ON t.oid = p.polrelid
UNION ALL
SELECT 'function', p.oid::regprocedure::text, '', pg_get_functiondef(p.oid)
FROM pg_proc p JOIN ours ON p.pronamespace = ours.oid
WHERE p.prokind IN ('f', 'p')
"""
"""A NOT NULL is read from its column: only PostgreSQL 18 has constraints for it."""


def read_schema(connection: Connection) -> Schema:
    """Return the schema of the database."""
    return collect_schema(connection.exec_driver_sql(QUERY).all())


def parse_schema(file: Path) -> Schema:
    """Return the schema in *file*, which `write_schema` wrote."""
    return collect_schema(json.loads(file.read_text("utf-8")))


def write_schema(schema: Schema, file: Path) -> None:
    """Write *schema* to *file*, an object a line."""
    rows = [json.dumps([*key, *value], ensure_ascii=False) for key, value in sorted(schema.items())]
    file.write_text("[\n" + ",\n".join(rows) + "\n]\n", "utf-8")
