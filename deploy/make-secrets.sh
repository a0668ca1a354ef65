#!/bin/sh
# Generates the passwords that compose.yaml reads, in deploy/secrets or the folder in $1. Keeps passwords that exist.
#
# Only the owner can enter the folder. The files in it are readable for all, because a container reads them as a user
# that this machine does not know.
set -eu

folder=${1:-$(dirname "$0")/secrets}
umask 077
mkdir -p "$folder"
chmod 700 "$folder"
for name in redis_password flower_password postgres_password postgres_producer_password postgres_operator_password \
  postgres_worker_password postgres_relay_password postgres_monitor_password postgres_gateway_password; do
  file=$folder/$name
  if [ ! -s "$file" ]; then
    od -A n -t x1 -N 32 /dev/urandom | tr -d ' \n' > "$file.partial"
    mv "$file.partial" "$file"
  fi
  chmod 444 "$file"
done
