"""Who moved an alias and why, deleted versions, and the blobs of versions.

Revision ID: 0015
Revises: 0014
Create Date: 2026-11-29
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from longshore.shared.ledger.migrations.locking import lock_tables

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

FUNCTIONS = ("longshore_record_blobs()", "longshore_record_deletion()", "longshore_check_versions()")
#: A job that is submitted locks the versions that it uses against their deletion, all that are submitted beside it
#: together. The lock is by digest, as trainings name the versions that they begin with by digest.
_LOCK_CLASS = 0x4C4F4E47
#: They act with the rights of the tables' owner: nobody needs a right on what they write.
_FUNCTION = """
DO $do$ BEGIN
    EXECUTE format($text$
        CREATE FUNCTION %1$I.{name} RETURNS trigger
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body${body}$body$
    $text$, current_schema());
    REVOKE ALL ON FUNCTION {name} FROM PUBLIC;
END $do$"""
_RECORD_BLOBS = """
BEGIN
    INSERT INTO %1$I.version_blobs (model, version, digest, size_bytes)
    SELECT NEW.model, NEW.version, files.digest, max(files.size) FROM (
        SELECT file->>'digest' AS digest, (file->>'size')::bigint AS size
        FROM (
            SELECT NEW.manifest->'weights' UNION ALL SELECT NEW.manifest->'tokenizer'
            UNION ALL SELECT value FROM jsonb_each(coalesce(NEW.manifest->'files', '{}'))
        ) AS named (file)
    ) AS files
    WHERE files.digest IS NOT NULL AND files.size IS NOT NULL GROUP BY files.digest;
    RETURN NULL;
END"""
_RECORD_DELETION = f"""
DECLARE user_of record;
BEGIN
    PERFORM pg_advisory_xact_lock({_LOCK_CLASS}, hashtext(OLD.digest));
    SELECT id INTO user_of FROM %1$I.jobs
    WHERE jobs.model = OLD.model AND jobs.version = OLD.version AND state IN ('queued', 'running') LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'LS003', MESSAGE = format(
            'job %%s uses %%s:%%s and has not ended', user_of.id, OLD.model, OLD.version);
    END IF;
    INSERT INTO %1$I.deleted_versions (model, version, digest, manifest, job_id, created_at, deleted_by, deleted_at)
    VALUES (OLD.model, OLD.version, OLD.digest, OLD.manifest, OLD.job_id, OLD.created_at,
            coalesce(nullif(current_setting('longshore.set_by', true), ''), session_user), clock_timestamp());
    RETURN OLD;
END"""
_CHECK_VERSIONS = f"""
DECLARE used record; gone record;
BEGIN
    FOR used IN
        SELECT added_jobs.model, added_jobs.version, added_jobs.digest FROM added_jobs
        WHERE added_jobs.digest IS NOT NULL GROUP BY 1, 2, 3
        UNION
        SELECT NULL, NULL, named.digest FROM added_jobs CROSS JOIN LATERAL (VALUES
            (added_jobs.spec->>'base_digest'), (added_jobs.spec->>'teacher_digest'),
            (added_jobs.spec->>'tokenizer_digest'), (added_jobs.spec#>>'{{train,base_digest}}'),
            (added_jobs.spec#>>'{{train,teacher_digest}}'), (added_jobs.spec#>>'{{train,tokenizer_digest}}')
        ) AS named (digest)
        WHERE added_jobs.kind IN ('train', 'tune', 'cross_validate') AND named.digest IS NOT NULL
        ORDER BY 3
    LOOP
        PERFORM pg_advisory_xact_lock_shared({_LOCK_CLASS}, hashtext(used.digest));
        SELECT model, version, deleted_by, deleted_at INTO gone FROM %1$I.deleted_versions AS deleted
        WHERE deleted.digest = used.digest AND CASE WHEN used.version IS NULL
            THEN NOT EXISTS (SELECT FROM %1$I.model_versions WHERE model_versions.digest = used.digest)
            ELSE deleted.model = used.model AND deleted.version = used.version END
        LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION USING ERRCODE = 'LS002', MESSAGE = format(
                '%%s:%%s was deleted by %%s at %%s UTC', gone.model, gone.version, gone.deleted_by,
                to_char(gone.deleted_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'));
        END IF;
    END LOOP;
    RETURN NULL;
END"""
_TRIGGERS = (
    "CREATE TRIGGER model_versions_record_blobs AFTER INSERT ON model_versions "
    "FOR EACH ROW EXECUTE FUNCTION longshore_record_blobs()",
    "CREATE TRIGGER model_versions_record_deletion BEFORE DELETE ON model_versions "
    "FOR EACH ROW EXECUTE FUNCTION longshore_record_deletion()",
    "CREATE TRIGGER jobs_check_versions AFTER INSERT ON jobs REFERENCING NEW TABLE AS added_jobs "
    "FOR EACH STATEMENT EXECUTE FUNCTION longshore_check_versions()",
)
#: The blobs of the versions that are there.
_RECORD_ALL_BLOBS = """
    INSERT INTO version_blobs (model, version, digest, size_bytes)
    SELECT model, version, file->>'digest', max((file->>'size')::bigint)
    FROM model_versions CROSS JOIN LATERAL (
        SELECT manifest->'weights' UNION ALL SELECT manifest->'tokenizer'
        UNION ALL SELECT value FROM jsonb_each(coalesce(manifest->'files', '{}'))
    ) AS named (file)
    WHERE file->>'digest' IS NOT NULL AND file->>'size' IS NOT NULL GROUP BY model, version, file->>'digest'
"""


def upgrade() -> None:
    # Clients of the release before go on: they leave the new columns empty, and what they add and delete is recorded
    # by triggers.
    lock_tables("jobs", "models", "model_versions", "model_aliases")
    op.add_column("model_aliases", sa.Column("job_id", sa.Uuid))
    op.add_column("model_aliases", sa.Column("gate", JSONB))
    op.add_column(
        "model_aliases", sa.Column("is_rollback", sa.Boolean, nullable=False, server_default=sa.text("false"))
    )
    op.create_table(
        "deleted_versions",
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("manifest", JSONB, nullable=False),
        sa.Column("job_id", sa.Uuid),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_by", sa.Text, nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("deleted_versions_digest_idx", "deleted_versions", ["digest"])
    op.create_table(
        "version_blobs",
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("digest", sa.Text, primary_key=True),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(
            ["model", "version"],
            ["model_versions.model", "model_versions.version"],
            name="version_blobs_model_version_fkey",
            ondelete="CASCADE",
        ),
    )
    op.create_index("version_blobs_digest_idx", "version_blobs", ["digest"])
    for name, body in zip(FUNCTIONS, (_RECORD_BLOBS, _RECORD_DELETION, _CHECK_VERSIONS), strict=True):
        op.execute(_FUNCTION.format(name=name, body=body))
    for statement in (*_TRIGGERS, _RECORD_ALL_BLOBS):
        op.execute(statement)


def downgrade() -> None:
    lock_tables("jobs", "models", "model_versions", "model_aliases")
    op.execute("DROP TRIGGER jobs_check_versions ON jobs")
    op.execute("DROP TRIGGER model_versions_record_deletion ON model_versions")
    op.execute("DROP TRIGGER model_versions_record_blobs ON model_versions")
    for function in FUNCTIONS:
        op.execute(f"DROP FUNCTION {function}")
    op.drop_table("version_blobs")
    op.drop_table("deleted_versions")
    for column in ("job_id", "gate", "is_rollback"):
        op.drop_column("model_aliases", column)
