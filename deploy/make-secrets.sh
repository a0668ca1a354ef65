#!/bin/sh
# Makes the passwords that compose.yaml reads, in deploy/secrets or the folder given. Those that are there stay.
#
# The folder is closed to others. The files in it are not: a container sees its files only, with the mode they have
# here, and reads them as a user that this machine does not know.
set -eu

folder=${1:-$(dirname "$0")/secrets}
umask 077
mkdir -p "$folder"
chmod 700 "$folder"
for name in redis_password postgres_password flower_password; do
  file=$folder/$name
  if [ ! -s "$file" ]; then
    od -A n -t x1 -N 32 /dev/urandom | tr -d ' \n' > "$file.partial"
    mv "$file.partial" "$file"
  fi
  chmod 444 "$file"
done
