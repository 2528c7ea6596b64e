#!/usr/bin/env bash
# Runs the image and both ways of docker-compose.yml on a real engine, and kills every container under load.
#
#   tests/containers/check.sh            all of it, some ten minutes; as root, for kill -9 is sent from outside
#   tests/containers/check.sh default    only the image and the single container
#   tests/containers/check.sh scale      only the scale profile
#   CHECK_PATIENCE=3 …                   on a machine that is busy with others: so many times the seconds it is given
#
# Not part of `make test`: run it by hand before a release, or each night. Without an engine it says so and ends well.
set -euo pipefail
cd "$(dirname "$0")/../.."
what=${1:-all}
if ! docker info >/dev/null 2>&1 || ! docker compose version >/dev/null 2>&1; then
  echo "SKIPPED: no container engine here (docker info, docker compose version)"
  exit 0
fi

project=monitor-check
port=${CHECK_PORT:-8765}
patience=${CHECK_PATIENCE:-1}
soon=$((120 * patience)) later=$((240 * patience))
base=http://127.0.0.1:$port
work=$(mktemp -d)
image=medical-news-monitor:latest
export COMPOSE_PROJECT_NAME=$project WEB_PORT=$port SECRETS_DIR=$work/secrets
export MONITOR_FETCH__CONTACT=check@example.org MONITOR_FETCH__ALLOW=$(seq -s, -f feeds%g:8099 0 11)
echo a-long-random-token >"$work/token"
export METRICS_TOKEN_FILE=$work/token
failed=0

end() {
  COMPOSE_PROFILES=scale,dev docker compose down -v --remove-orphans >/dev/null 2>&1 || true
  docker rm -f "$project-feeds" >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap end EXIT

ok() { echo "ok      $*"; }
wrong() { echo "WRONG   $*"; failed=1; }
# check NAME COMMAND…: the command must succeed
check() { local name=$1; shift; if "$@" >"$work/out" 2>&1; then ok "$name"; else wrong "$name: $(tail -n 3 "$work/out")"; fi; }
# refuse NAME COMMAND…: the command must fail
refuse() { local name=$1; shift; if "$@" >"$work/out" 2>&1; then wrong "$name"; else ok "$name"; fi; }
# within SECONDS NAME COMMAND…: the command must succeed before that
within() {
  local seconds=$(($1 * patience)) name=$2 start=$SECONDS; shift 2
  until "$@" >"$work/out" 2>&1; do
    if ((SECONDS - start > seconds)); then wrong "$name: not within $seconds s: $(tail -n 3 "$work/out")"; return; fi
    sleep 0.5
  done
  ok "$name ($((SECONDS - start)) s)"
}
figures() { curl -fsS -m 5 -H "Authorization: Bearer $(cat "$work/token")" "$base/metrics" | grep "^monitor_build_info"; }
answers() { curl -fsS -m 5 "$base/readyz"; }
healthy() { [[ $(docker inspect -f '{{.State.Health.Status}} {{.State.Running}}' "$1") == "healthy true" ]]; }
pid() { docker inspect -f '{{.State.Pid}}' "$1"; }

the_image() {
  local run=(docker run --rm --read-only --cap-drop ALL --security-opt no-new-privileges --entrypoint sh "$image" -c)
  check "builds" docker build -q -t "$image" .
  check "runs as a number that is not root" test "$(docker inspect -f '{{.Config.User}}' "$image")" = 10001:10001
  check "has a health check" test "$(docker inspect -f '{{len .Config.Healthcheck.Test}}' "$image")" -gt 1
  check "has a title and a version" test -n "$(docker inspect -f '{{index .Config.Labels "org.opencontainers.image.version"}}' "$image")"
  local tool
  for tool in pip pip3 gcc cc make; do refuse "has no $tool" "${run[@]}" "command -v $tool"; done
  refuse "keeps no pip in Python" "${run[@]}" "python -m pip --version"
  check "keeps no cache" "${run[@]}" 'test -z "$(find / -xdev -path "*/.cache/*" -type f 2>/dev/null | head -n 1)"'
  refuse "cannot write where its program is" "${run[@]}" "touch /opt/monitor/x"
  check "tells its version" docker run --rm --read-only "$image" --version
}

the_default() {
  echo "--- one container on SQLite"
  check "starts" docker compose up -d --wait --wait-timeout="$soon"
  within 20 "the web answers" answers
  local one=$project-monitor-1
  check "its first process is an init" docker exec "$one" python -c 'assert b"init" in open("/proc/1/cmdline","rb").read()'
  check "cannot write but to data and tmp" docker exec "$one" sh -c 'touch /data/x /tmp/x && ! touch /etc/x /opt/x'
  within 60 "the first poll has run" docker exec "$one" python -c '
import sqlite3; assert sqlite3.connect("file:/data/monitor.db?mode=ro", uri=True).execute("select count(*) from poll").fetchone()[0]'
  check "tells its figures to who has the token" figures
  refuse "tells its figures to nobody else" curl -fsS -m 5 "$base/metrics"
  within 60 "has made a backup by itself" docker exec "$one" sh -c 'ls /data/backups/monitor-*.db'
  check "backs up while it runs" docker exec "$one" monitor backup /data/by-hand.db
  check "finds disk, database and index well" docker exec "$one" sh -c \
    'monitor doctor --offline | tee /tmp/found; ! grep -E "WRONG +(data|database|migrations|full-text|backup)" /tmp/found'
  kill -9 "$(pid "$one")"
  sleep 1
  within 40 "is back after kill -9" healthy "$one"
  local start=$SECONDS
  check "stops on SIGTERM" docker compose stop
  check "stops well (exit code 0)" test "$(docker inspect -f '{{.State.ExitCode}}' "$one")" = 0
  check "stops within 30 s" test $((SECONDS - start)) -le 30
  check "restores what it backed up" docker compose run --rm -T monitor restore /data/by-hand.db --yes
  check "starts with what was restored" docker compose up -d --wait --wait-timeout="$soon"
  check "lets no mail go after a restore" docker exec "$one" sh -c 'monitor outbox release'
  check "goes" docker compose down -v
}

load() { docker compose exec -T web python - "$@" <tests/containers/load.py; }
value() { load state | tr ' ' '\n' | sed -n "s/^$1=//p"; }
settled() {
  local line; line=$(load state); echo "$line"
  [[ $line == *" pages=0 "* && $line == *" waiting=0 "* && $line == *" in_doubt=0 "* && $line == *" jobs=0"* ]]
}
arrived() { docker compose exec -T postbox python - check /data <tests/containers/load.py; }
# Once all is quiet, either all has arrived, or one more round of digests brings what was stored after the last.
everything() { settled && { arrived || { load digests && sleep 10 && false; }; }; }

# With every process stopped but the database; afterwards all of it runs again.
back_up_and_restore() {
  local before; before=$(value articles)
  within 90 "a scheduler has made a backup by itself" docker compose exec -T scheduler sh -c 'ls /data/backups/monitor-*.rows.gz'
  check "backs up while it runs, restored for a trial" \
    docker compose exec -T web sh -c 'monitor backup /data/by-hand.rows.gz | grep "restored into a scratch database"'
  refuse "restores while others run" docker compose exec -T web monitor restore /data/by-hand.rows.gz --yes
  docker compose stop web scheduler worker >/dev/null 2>&1
  check "restores what it backed up" docker compose run --rm -T --no-deps web restore /data/by-hand.rows.gz --yes
  check "starts with what was restored" docker compose up -d --wait --wait-timeout="$soon"
  within 20 "the web answers" answers
  check "holds every article that was there" test "$(value articles)" = "$before"
  check "lets mail go again" docker compose exec -T web monitor outbox release
}

the_scale() {
  echo "--- PostgreSQL, web, schedulers, workers"
  scripts/make-secrets "$SECRETS_DIR" >/dev/null
  export COMPOSE_PROFILES=scale,dev ALL_IN_ONE=0 SCHEDULERS=2 WORKERS=2
  export MONITOR_SMTP__HOST=postbox MONITOR_SMTP__PORT=2525 MONITOR_SMTP__SECURITY=none
  check "starts" docker compose up -d --wait --wait-timeout="$later"
  within 20 "the web answers" answers
  check "migrate has ended well" test "$(docker inspect -f '{{.State.ExitCode}}' "$project-migrate-1")" = 0
  check "the single container is not there" test -z "$(docker ps -q -f "name=$project-monitor-")"
  docker rm -f "$project-feeds" >/dev/null 2>&1 || true  # of a run that was killed
  # shellcheck disable=SC2046 # one word for each option and name is what is wanted
  docker run -d --name "$project-feeds" --network "${project}_default" $(seq -f "--network-alias feeds%g" 0 11) \
    -v "$PWD/tests/containers/load.py:/load.py:ro" --entrypoint python "$image" /load.py serve >/dev/null
  check "is filled" load fill

  local one
  for one in worker-1 scheduler-1 worker-2 scheduler-2 web-1 postgres-1; do
    within 20 "load" load again
    sleep 4
    kill -9 "$(pid "$project-$one")"
    sleep 1
    within 40 "$one is back after kill -9 under load" healthy "$project-$one"
  done
  within 20 "load" load again
  sleep 3
  docker compose exec -T postgres pg_ctl stop -m immediate >/dev/null 2>&1 || true
  sleep 1
  within 40 "postgres is back after stop -m immediate" healthy "$project-postgres-1"
  within 40 "the web answers" answers
  within 60 "load" load again
  sleep 10
  within 300 "all articles have reached all readers" everything
  check "nothing lost, nothing in two mails" arrived
  arrived || true
  load state
  back_up_and_restore
  for one in web scheduler worker; do
    local start=$SECONDS
    check "$one stops" docker compose stop "$one"
    check "$one stopped within 30 s" test $((SECONDS - start)) -le 30
    check "$one stopped well" test "$(docker inspect -f '{{.State.ExitCode}}' "$project-$one-1")" = 0
  done
  check "goes" docker compose down -v
}

[[ $what == scale ]] || { the_image; the_default; }
[[ $what == default ]] || the_scale
((failed == 0)) && echo "all well" || { echo "something is WRONG"; exit 1; }
