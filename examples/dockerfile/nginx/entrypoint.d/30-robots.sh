#!/bin/sh
# Keeps crawlers out of everything but production.
set -eu
if [ "${STAGE:-production}" != production ]; then
    printf 'User-agent: *\nDisallow: /\n' > /usr/share/nginx/html/robots.txt
fi
