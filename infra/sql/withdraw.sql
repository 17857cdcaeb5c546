CREATE SCHEMA IF NOT EXISTS estate;

CREATE OR REPLACE PROCEDURE estate.withdraw() AS $$
DECLARE
  leftover RECORD;
BEGIN
  -- A schema with an ensure_role is a team's, of today or of an earlier version of the contracts.
  FOR leftover IN
    SELECT views.schemaname AS team, views.viewname AS name
    FROM pg_views views JOIN pg_namespace teams ON teams.nspname = views.schemaname
      JOIN pg_proc made ON made.pronamespace = teams.oid AND made.proname = 'ensure_role'
    WHERE views.schemaname || '.' || views.viewname NOT IN ({views})
  LOOP
    EXECUTE 'DROP VIEW ' || quote_ident(leftover.team) || '.' || quote_ident(leftover.name);
  END LOOP;
  FOR leftover IN
    SELECT teams.nspname AS team
    FROM pg_namespace teams JOIN pg_proc made ON made.pronamespace = teams.oid AND made.proname = 'ensure_role'
    WHERE teams.nspname NOT IN ({teams})
  LOOP
    EXECUTE 'DROP SCHEMA ' || quote_ident(leftover.team) || ' CASCADE';
    IF EXISTS (SELECT 1 FROM svv_roles WHERE role_name = leftover.team) THEN
      EXECUTE 'DROP ROLE ' || quote_ident(leftover.team) || ' FORCE';
    END IF;
  END LOOP;
END;
$$ LANGUAGE plpgsql;

CALL estate.withdraw();
