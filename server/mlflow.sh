#!/usr/bin/env bash
# The MLflow server itself: who may do what by basic auth, artifacts through the server, so that clients need no S3.
# Reads DATABASE, ADMIN_PASSWORD, MLFLOW_FLASK_SERVER_SECRET_KEY, ARTIFACTS (a folder or s3://bucket/path), LISTEN, PORT.
set -euo pipefail
umask 077
config=${AUTH_CONFIG:-$(mktemp)} # its workers read it whenever one starts
cat > "$config" << END
[mlflow]
default_permission = READ
database_uri = $DATABASE
admin_username = admin
admin_password = $ADMIN_PASSWORD
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
END
export MLFLOW_AUTH_CONFIG_PATH=$config MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false
# What is empty in .env counts as not set.
for name in MLFLOW_SERVER_ALLOWED_HOSTS MLFLOW_S3_ENDPOINT_URL AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY; do
  [ -n "${!name:-}" ] || unset "$name"
done
here=$(cd "$(dirname "$0")/.." && pwd)
command -v mlflow > /dev/null || PATH=$here/.venv/bin:$PATH # called without an activated environment
exec mlflow server --app-name basic-auth --host "$LISTEN" --port "$PORT" --backend-store-uri "$DATABASE" \
  --artifacts-destination "$ARTIFACTS" --workers 2
