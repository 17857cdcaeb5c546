CREATE SCHEMA IF NOT EXISTS {team};

CREATE OR REPLACE PROCEDURE {team}.ensure_role() AS $$
BEGIN
  IF NOT EXISTS (SELECT 1 FROM svv_roles WHERE role_name = '{team}') THEN
    EXECUTE 'CREATE ROLE {team}';
  END IF;
END;
$$ LANGUAGE plpgsql;

CALL {team}.ensure_role();

GRANT USAGE ON SCHEMA {team} TO ROLE {team};
