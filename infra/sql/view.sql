CREATE OR REPLACE PROCEDURE estate.show_{team}_{table}() AS $$
BEGIN
  -- A view cannot be replaced by one of other columns. All of this is one transaction, so nobody sees it gone.
  DROP VIEW IF EXISTS {team}.{table};
  CREATE VIEW {team}.{table} AS SELECT {columns} FROM {schema}.{table} WHERE {rows} WITH NO SCHEMA BINDING;
  GRANT SELECT ON {team}.{table} TO ROLE {team};
END;
$$ LANGUAGE plpgsql;

CALL estate.show_{team}_{table}();
