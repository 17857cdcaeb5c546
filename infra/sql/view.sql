CREATE OR REPLACE VIEW {team}.{table} AS SELECT {columns} FROM {schema}.{table} WHERE {rows} WITH NO SCHEMA BINDING;
GRANT SELECT ON {team}.{table} TO ROLE {team};
