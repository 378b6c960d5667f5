#!/bin/sh
set -e
if [ "$1" = easter ]; then
    shift
    set -- php src/easter.php "$@"
fi
exec docker-php-entrypoint "$@"
