"""Database roles and their rights. Names in braces are filled in by :mod:`longshore.shared.ledger.roles.script`.

The blocks ask before they act: they can run again, and those that need an administrator do nothing if there is nothing
to do.
"""

from __future__ import annotations

from typing import Final

CREATE_GROUP: Final = """
DO $do$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN CREATE ROLE {role} NOLOGIN; END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $do$"""
ADD_MEMBER: Final = """
DO $do$ BEGIN
    IF NOT pg_has_role('{member}', '{role}', 'USAGE') THEN GRANT {role} TO {member}; END IF;
END $do$"""
#: Who hands tables over to a role must be a member of it. A superuser counts as a member of every role.
JOIN_GROUP: Final = """
DO $do$ BEGIN
    IF NOT pg_has_role(current_user, '{role}', 'USAGE') THEN EXECUTE format('GRANT {role} TO %I', current_user); END IF;
END $do$"""
OPEN_DATABASE: Final = """
DO $do$ BEGIN
    IF has_schema_privilege(current_schema(), 'USAGE WITH GRANT OPTION') THEN
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO {roles}', current_schema());
        EXECUTE format('GRANT CREATE ON SCHEMA %I TO {owners}', current_schema());
    END IF;
    IF has_database_privilege(current_database(), 'CONNECT WITH GRANT OPTION') THEN
        EXECUTE format('GRANT CONNECT ON DATABASE %I TO {roles}', current_database());
    END IF;
END $do$"""
CLOSE_TO_PUBLIC: Final = """
DO $do$ BEGIN
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('REVOKE ALL ON SCHEMA %I FROM PUBLIC', current_schema());
END $do$"""
#: Partitions get no grants: they are reached through their table, whose grants and policies then count.
HAND_OVER: Final = """
DO $do$ DECLARE item record; BEGIN
    FOR item IN
        WITH partitioned AS (
            SELECT oid FROM pg_class
            WHERE relnamespace = current_schema()::regnamespace AND relname = ANY (ARRAY[{partitioned}])
        )
        SELECT pg_class.oid::regclass AS name, owner.rolname AS owner
        FROM pg_class
        LEFT JOIN pg_inherits ON inhrelid = pg_class.oid
        JOIN pg_roles AS owner ON owner.rolname = CASE
            WHEN pg_class.oid IN (SELECT oid FROM partitioned) OR inhparent IN (SELECT oid FROM partitioned)
            THEN '{results}' ELSE '{owner}' END
        WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')
          AND (relname = ANY (ARRAY[{tables}]) OR inhparent IN (SELECT oid FROM partitioned))
          AND relowner <> owner.oid
    LOOP
        EXECUTE format('ALTER TABLE %s OWNER TO %I', item.name, item.owner);
    END LOOP;
END $do$"""
HAND_OVER_FUNCTION: Final = """
DO $do$ BEGIN
    IF to_regprocedure('{function}') IS NOT NULL THEN ALTER FUNCTION {function} OWNER TO {owner}; END IF;
END $do$"""
REVOKE_TABLES: Final = "REVOKE ALL ON {tables} FROM PUBLIC, {roles}"
GRANT_TABLE: Final = "GRANT {rights} ON {table} TO {role}"

# Row-level security.

#: Whether a job belongs to another producer. It sees all jobs. A job that the same statement inserts is not seen yet.
DEFINE_FOREIGN_JOB: Final = """
DO $do$ BEGIN
    IF to_regprocedure('longshore_foreign_job(uuid, text)') IS NULL THEN
        EXECUTE format($text$
            CREATE FUNCTION %1$I.longshore_foreign_job(job uuid, producer text) RETURNS boolean
            LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog AS
            'SELECT EXISTS (SELECT FROM %1$I.jobs WHERE jobs.id = $1 AND jobs.producer <> $2)'
        $text$, current_schema());
        REVOKE ALL ON FUNCTION longshore_foreign_job(uuid, text) FROM PUBLIC;
        ALTER FUNCTION longshore_foreign_job(uuid, text) OWNER TO {owner};
    END IF;
    GRANT EXECUTE ON FUNCTION longshore_foreign_job(uuid, text) TO {producer};
END $do$"""
#: Making a policy locks its table against everybody, so an existing one stays as it is.
CREATE_POLICY: Final = """
DO $do$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_policy WHERE polname = '{name}' AND polrelid = '{table}'::regclass) THEN
        CREATE POLICY {name} ON {table} FOR {command} TO {role} {condition};
    END IF;
END $do$"""
USING_CLAUSE: Final = "USING ({condition})"
CHECK_CLAUSE: Final = "WITH CHECK ({condition})"
ENABLE_POLICIES: Final = """
DO $do$ BEGIN
    IF NOT (SELECT relrowsecurity FROM pg_class WHERE oid = '{table}'::regclass) THEN
        ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
    END IF;
END $do$"""
DISABLE_POLICIES: Final = """
DO $do$ BEGIN
    IF (SELECT relrowsecurity FROM pg_class WHERE oid = '{table}'::regclass) THEN
        ALTER TABLE {table} DISABLE ROW LEVEL SECURITY;
    END IF;
END $do$"""

# Logins. Names in braces are filled in as identifiers and literals.

FIND_ROLE: Final = "SELECT FROM pg_roles WHERE rolname = %(role)s"
CREATE_LOGIN: Final = "CREATE ROLE {login} LOGIN"
SET_PASSWORD: Final = "ALTER ROLE {login} LOGIN PASSWORD {verifier}"
#: A table with policies takes no COPY but from who bypasses them: the logins of workers, whenever they were made.
BYPASS_POLICIES: Final = """
DO $do$ DECLARE item record; BEGIN
    FOR item IN
        SELECT rolname FROM pg_roles
        WHERE rolcanlogin AND NOT rolbypassrls AND NOT rolsuper AND pg_has_role(oid, '{worker}', 'USAGE')
    LOOP
        EXECUTE format('ALTER ROLE %I BYPASSRLS', item.rolname);
    END LOOP;
END $do$"""
GRANT_ROLE: Final = "GRANT {role} TO {login}"

#: Who owns the tables, and whether policies are in force; no row: there are no tables.
READ_ROLES: Final = """
    SELECT pg_get_userbyid(relowner), relrowsecurity FROM pg_class WHERE oid = to_regclass('jobs')
"""
#: What is created from here on belongs to the owner of a table, as far as this user may act as the owner.
ACT_AS_OWNER: Final = """
    SELECT set_config('role', pg_get_userbyid(relowner), %(local)s)
    FROM pg_class
    WHERE oid = to_regclass(%(table)s) AND pg_get_userbyid(relowner) <> current_user AND pg_has_role(relowner, 'USAGE')
"""
