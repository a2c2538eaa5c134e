#!/bin/sh
# Run once by the image of PostgreSQL, when it makes its database: a role for the service, that owns the database
# github_agent and is nobody elsewhere. The operators' commands sign in as postgres; in this database they then act as
# that role (RESET ROLE gives the powers back), so that a table that a migration or a restored backup makes belongs to
# the service and not to them.
set -eu
psql -v ON_ERROR_STOP=1 -v password="$DATABASE_PASSWORD" --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
CREATE ROLE github_pr_manager LOGIN PASSWORD :'password';
ALTER DATABASE github_agent OWNER TO github_pr_manager;
REVOKE CONNECT ON DATABASE github_agent FROM PUBLIC;
ALTER ROLE postgres IN DATABASE github_agent SET role = 'github_pr_manager';
SQL
