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
GRANT_FUNCTION: Final = """
DO $do$ BEGIN
    IF to_regprocedure('{function}') IS NOT NULL THEN GRANT EXECUTE ON FUNCTION {function} TO {role}; END IF;
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
    GRANT EXECUTE ON FUNCTION longshore_foreign_job(uuid, text) TO {producers};
END $do$"""
#: Whether the policies are in force now, and whether others than the gateway see the jobs of all although they are.
POLICIES_ENABLED: Final = "coalesce((SELECT relrowsecurity FROM pg_class WHERE oid = to_regclass('jobs')), false)"
PRODUCERS_SHARE: Final = f"""(NOT {POLICIES_ENABLED} OR EXISTS (
    SELECT FROM pg_policy WHERE polrelid = to_regclass('jobs') AND polname = 'longshore_producer_shared'))"""
#: Whether there is a login of the gateway. A superuser counts as a member of every role.
HAS_GATEWAY: Final = """EXISTS (
    SELECT FROM pg_roles WHERE rolcanlogin AND NOT rolsuper AND pg_has_role(oid, '{gateway}', 'MEMBER'))"""
#: A table with policies takes no COPY but from who bypasses them.
WORKERS_BYPASS: Final = """NOT EXISTS (
    SELECT FROM pg_roles
    WHERE rolcanlogin AND NOT rolbypassrls AND NOT rolsuper AND pg_has_role(oid, '{worker}', 'USAGE'))"""
#: What the statements below do until the transaction ends.
DECIDE_POLICIES: Final = """
SELECT set_config('longshore.policies', ({enabled})::text, true),
       set_config('longshore.producers_share', ({shared})::text, true)"""
#: Making a policy locks its table against everybody, so an existing one stays as it is.
CREATE_POLICY: Final = """
DO $do$ BEGIN
    IF current_setting('longshore.policies')::boolean
       AND NOT EXISTS (SELECT FROM pg_policy WHERE polname = '{name}' AND polrelid = '{table}'::regclass) THEN
        CREATE POLICY {name} ON {table} FOR {command} TO {role} {condition};
    END IF;
END $do$"""
#: A policy that exists while others than the gateway see the jobs of all.
SHARE_TABLE: Final = """
DO $do$ BEGIN
    IF EXISTS (SELECT FROM pg_policy WHERE polname = '{name}' AND polrelid = '{table}'::regclass) THEN
        IF NOT current_setting('longshore.producers_share')::boolean THEN DROP POLICY {name} ON {table}; END IF;
    ELSIF current_setting('longshore.policies')::boolean AND current_setting('longshore.producers_share')::boolean THEN
        CREATE POLICY {name} ON {table} FOR {command} TO {role} {condition};
    END IF;
END $do$"""
USING_CLAUSE: Final = "USING ({condition})"
CHECK_CLAUSE: Final = "WITH CHECK ({condition})"
SWITCH_POLICIES: Final = """
DO $do$ BEGIN
    IF (SELECT relrowsecurity FROM pg_class WHERE oid = '{table}'::regclass)
       = current_setting('longshore.policies')::boolean THEN RETURN; END IF;
    IF current_setting('longshore.policies')::boolean THEN ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
    ELSE ALTER TABLE {table} DISABLE ROW LEVEL SECURITY;
    END IF;
END $do$"""
#: Those who work for all producers need no policies, whenever their logins were made: workers because of COPY, the
#: others for the plans of their statements. The gateway never bypasses them.
BYPASS_POLICIES: Final = """
DO $do$ DECLARE item record; BEGIN
    IF NOT ({needed}) THEN RETURN; END IF;
    FOR item IN
        SELECT rolname FROM pg_roles
        WHERE rolcanlogin AND rolbypassrls AND NOT rolsuper AND pg_has_role(oid, '{gateway}', 'MEMBER')
    LOOP
        EXECUTE format('ALTER ROLE %I NOBYPASSRLS', item.rolname);
    END LOOP;
    FOR item IN
        SELECT rolname, pg_has_role(oid, '{worker}', 'USAGE') AS is_worker FROM pg_roles
        WHERE rolcanlogin AND NOT rolbypassrls AND NOT rolsuper AND NOT pg_has_role(oid, '{gateway}', 'MEMBER')
          AND EXISTS (SELECT FROM unnest(ARRAY[{roles}]) AS role WHERE pg_has_role(oid, role, 'USAGE'))
    LOOP
        BEGIN
            EXECUTE format('ALTER ROLE %I BYPASSRLS', item.rolname);
        EXCEPTION WHEN insufficient_privilege THEN
            IF item.is_worker THEN RAISE; END IF;
        END;
    END LOOP;
END $do$"""

# Logins. Names in braces are filled in as identifiers and literals.

FIND_ROLE: Final = "SELECT FROM pg_roles WHERE rolname = %(role)s"
CREATE_LOGIN: Final = "CREATE ROLE {login} LOGIN"
SET_PASSWORD: Final = "ALTER ROLE {login} LOGIN PASSWORD {verifier}"
GRANT_ROLE: Final = "GRANT {role} TO {login}"

#: Who owns the tables, and whether a producer's login sees its own jobs only; no row: there are no tables.
READ_ROLES: Final = f"""
    SELECT pg_get_userbyid(relowner), NOT {PRODUCERS_SHARE} FROM pg_class WHERE oid = to_regclass('jobs')
"""
#: What is created from here on belongs to the owner of a table, as far as this user may act as the owner.
ACT_AS_OWNER: Final = """
    SELECT set_config('role', pg_get_userbyid(relowner), %(local)s)
    FROM pg_class
    WHERE oid = to_regclass(%(table)s) AND pg_get_userbyid(relowner) <> current_user AND pg_has_role(relowner, 'USAGE')
"""
#: Whether this login is one of the gateway, and what would let it see the jobs of several producers.
READ_ISOLATION: Final = """
    SELECT current_user::text, pg_has_role(%(gateway)s, 'USAGE'), rolsuper, rolbypassrls,
           ARRAY(SELECT role FROM unnest(%(others)s::text[]) AS role WHERE pg_has_role(role, 'MEMBER')),
           ARRAY(SELECT name FROM unnest(%(tables)s::text[]) AS name WHERE NOT row_security_active(name)),
           ARRAY(SELECT expected.name
                 FROM unnest(%(policy_tables)s::text[], %(policies)s::text[]) AS expected (name, policy)
                 WHERE NOT EXISTS (SELECT FROM pg_policy
                                   WHERE polrelid = expected.name::regclass AND polname = expected.policy))
    FROM pg_roles WHERE rolname = current_user
"""
