#!/usr/bin/env bash
# Clients that are not ours. schemathesis (PyPI) asks a running service what its description allows, and some of what it does
# not: no answer may be a server's error or outside of the description. An EventSource (npm) reads the feed of a service that
# is killed. Needs python3 and Node 18 or newer; brings schemathesis into target/tools where it is not installed.
#
#   tests/contract.sh PROGRAM [EXAMPLES [SEED]]
set -euo pipefail
program=$(realpath "$1") examples=${2:-25} seed=${3:-1}
root=$(cd "$(dirname "$0")/.." && pwd)
tools=$root/target/tools/schemathesis
PATH=$PATH:$tools/bin
if ! command -v schemathesis >/dev/null; then
    python3 -m venv "$tools"
    "$tools/bin/pip" install --quiet schemathesis
fi
(cd "$root/tests/eventsource" && npm ci --silent --no-audit --no-fund && node read.mjs "$program" "$seed")
dir=$(mktemp -d)
trap 'kill "$service" 2>/dev/null || true; rm -rf "$dir"' EXIT
SCRIPTORIUM__DATABASE__URL=sqlite://$dir/log.db SCRIPTORIUM__SERVER__LISTEN=127.0.0.1:0 "$program" serve 2>"$dir/log" &
service=$!
while ! address=$(grep -o 'address=[0-9.:]*' "$dir/log"); do
    kill -0 "$service" || { cat "$dir/log" >&2; exit 1; }
    sleep 0.1
done
base=http://${address#address=}
# The one that the examples of the description name.
curl --silent --fail --output /dev/null --data '{"id": "doc_abc123", "content": "Hello"}' "$base/v1/documents"
checks=not_a_server_error,status_code_conformance,content_type_conformance
checks=$checks,response_headers_conformance,response_schema_conformance
# A WebSocket is no answer.
timeout 900 schemathesis run "$base/openapi.json" --checks "$checks" --exclude-path '/v1/ws/documents/{id}' \
    --max-examples "$examples" --seed "$seed" --request-timeout 10 --suppress-health-check all --no-color
