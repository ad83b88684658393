#!/bin/sh
# The contract of the official redis image: options and configuration files go to redis-server,
# which runs as the user redis and owns its working directory.
set -e

if [ "${1#-}" != "$1" ] || [ "${1%.conf}" != "$1" ]; then
  set -- redis-server "$@"
fi

if [ "$1" = 'redis-server' ] && [ "$(id -u)" = '0' ]; then
  find . \! -user redis -exec chown redis '{}' +
  export HOME=/data
  exec setpriv --reuid=redis --regid=1000 --clear-groups "$0" "$@"
fi

if [ "$(umask)" = '0022' ]; then
  umask 0077
fi

# The official build has protected mode off. Debian's has not, and of two options the later one
# wins, so this one stands before the caller's, and gives way to a configuration file's.
if [ "$1" = 'redis-server' ]; then
  shift
  case "${1:-}" in
    '' | -*) set -- redis-server --protected-mode no "$@" ;;
    *)
      if grep -Eqi '^[[:space:]]*protected-mode' "$1"; then
        set -- redis-server "$@"
      else
        config="$1"
        shift
        set -- redis-server "$config" --protected-mode no "$@"
      fi
      ;;
  esac
fi

exec "$@"
