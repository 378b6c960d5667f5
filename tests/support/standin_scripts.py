"""The scripts in the stand-ins of `standins.py`: each does in a few lines what matters of what the public image has."""

from __future__ import annotations

MVN = b"""#!/bin/sh
# Maven in brief: `package` compiles src/main/java and packs target/NAME-VERSION.jar with the main class of pom.xml.
set -eu
value() { sed -n "s:.*<$1>\\(.*\\)</$1>.*:\\1:p" pom.xml | head -n 1; }
mkdir -p "$HOME/.m2/repository"
for goal; do
    case $goal in
    dependency:go-offline) date > "$HOME/.m2/repository/resolved" ;;
    package)
        test -e "$HOME/.m2/repository/resolved"
        mkdir -p target/classes
        javac -d target/classes $(find src/main/java -name '*.java')
        if [ -d src/main/resources ]; then cp -R src/main/resources/. target/classes; fi
        jar --create --file "target/$(value artifactId)-$(value version).jar" --main-class "$(value mainClass)" \\
            -C target/classes .
        ;;
    esac
done
"""

NGINX_ENTRYPOINT = b"""#!/bin/sh
set -e
for script in /docker-entrypoint.d/*.sh; do
    if [ -x "$script" ]; then "$script"; fi
done
exec "$@"
"""

NGINX_TEMPLATES = b"""#!/bin/sh
set -e
for template in /etc/nginx/templates/*.template; do
    [ -e "$template" ] || continue
    defined=$(printf '${%s} ' $(env | cut -d= -f1))
    envsubst "$defined" < "$template" > "/etc/nginx/conf.d/$(basename "$template" .template)"
done
"""

NGINX_CONF = b"""pid /tmp/nginx.pid;
error_log stderr;
events {}
http {
    include /etc/nginx/mime.types;
    access_log off;
    client_body_temp_path /tmp/body;
    proxy_temp_path /tmp/proxy;
    fastcgi_temp_path /tmp/fastcgi;
    uwsgi_temp_path /tmp/uwsgi;
    scgi_temp_path /tmp/scgi;
    include /etc/nginx/conf.d/*.conf;
}
"""

_EXTENSION = b"""#!/bin/sh
# Nothing is compiled: what the Debian package has is switched on.
set -eu
while getopts j: option; do :; done
shift $((OPTIND - 1))
directory=$(php -r 'echo ini_get("extension_dir");')
for name; do
    test -e "$directory/$name.so" || { echo "error: no extension $name" >&2; exit 1; }
    case $name in opcache) kind=zend_extension ;; *) kind=extension ;; esac
    echo "$kind=$name" > "$PHP_INI_DIR/conf.d/docker-php-ext-$name.ini"
done
"""

PHP = {
    "docker-php-ext-install": _EXTENSION,
    "docker-php-ext-enable": _EXTENSION,
    "docker-php-entrypoint": b"""#!/bin/sh
set -e
case ${1-} in -*) set -- php "$@" ;; esac
exec "$@"
""",
}

GIT = b"""#!/bin/sh
# Stands for `git clone ADDRESS DIRECTORY` of a private repository: it needs a key in the agent that the step was lent.
set -eu
ssh-add -l > /dev/null
for directory; do :; done
mkdir -p "$directory"
echo "port = 8080" > "$directory/site.conf"
"""
