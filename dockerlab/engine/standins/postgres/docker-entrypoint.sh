#!/bin/sh
# Does what the official postgres image's entrypoint does, with its variables, its order and its words.
set -eo pipefail

# read_variable NAME [DEFAULT]: from NAME, or from the file that NAME_FILE names.
read_variable() {
    eval "value=\${$1:-} file=\${$1_FILE:-}"
    if [ -n "$value" ] && [ -n "$file" ]; then
        printf 'error: both %s and %s are set (but are exclusive)\n' "$1" "$1_FILE" >&2
        exit 1
    fi
    if [ -n "$file" ]; then value=$(cat "$file"); fi
    export "$1=${value:-${2:-}}"
    unset "$1_FILE" value file
}

make_folders() {
    mkdir -p "$PGDATA" /var/run/postgresql
    # What belongs to someone else may refuse; it may be good enough as it is.
    chmod 0700 "$PGDATA" || :
    chmod 3775 /var/run/postgresql || :
    if [ -n "${POSTGRES_INITDB_WALDIR:-}" ]; then
        mkdir -p "$POSTGRES_INITDB_WALDIR"
        chmod 0700 "$POSTGRES_INITDB_WALDIR"
    fi
    if [ "$(id -u)" = 0 ]; then
        find "$PGDATA" ${POSTGRES_INITDB_WALDIR:+"$POSTGRES_INITDB_WALDIR"} /var/run/postgresql \
            ! -user postgres -exec chown postgres {} +
    fi
}

require_password() {
    if [ -z "$POSTGRES_PASSWORD" ] && [ "$POSTGRES_HOST_AUTH_METHOD" != trust ]; then
        cat >&2 <<-'END'
			Error: Database is uninitialized and superuser password is not specified.
			       You must specify POSTGRES_PASSWORD to a non-empty value for the
			       superuser. For example, "-e POSTGRES_PASSWORD=password" on "docker run".

			       You may also use "POSTGRES_HOST_AUTH_METHOD=trust" to allow all
			       connections without a password. This is *not* recommended.

			       See PostgreSQL documentation about "trust":
			       https://www.postgresql.org/docs/current/auth-trust.html
		END
        exit 1
    fi
    if [ "$POSTGRES_HOST_AUTH_METHOD" = trust ]; then
        cat >&2 <<-'END'
			********************************************************************************
			WARNING: POSTGRES_HOST_AUTH_METHOD has been set to "trust". This will allow
			         anyone with access to the Postgres port to access your database without
			         a password, even if POSTGRES_PASSWORD is set.
			********************************************************************************
		END
    fi
}

make_cluster() {
    set -- --username="$POSTGRES_USER" --pwfile=/dev/stdin \
        --set listen_addresses='*' --set unix_socket_directories=/var/run/postgresql
    if [ -n "${POSTGRES_INITDB_WALDIR:-}" ]; then set -- "$@" --waldir="$POSTGRES_INITDB_WALDIR"; fi
    # The variable holds words as a shell would split them.
    eval "set -- \"\$@\" ${POSTGRES_INITDB_ARGS:-}"
    printf '%s\n' "$POSTGRES_PASSWORD" | initdb "$@"
}

# The local socket stays open to everyone inside, the network asks for the password.
let_hosts_in() {
    method=${POSTGRES_HOST_AUTH_METHOD:-$(postgres -C password_encryption "$@")}
    printf '\nhost all all all %s\n' "$method" >>"$PGDATA/pg_hba.conf"
}

# One word for a shell: 'a b' stays one, whatever is in it.
quoted() {
    printf "'%s' " "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")"
}

# Listens on the socket only, so that nobody from outside comes before all is set up.
start_temporary_server() {
    options=
    for word in "$@" -c listen_addresses= -p "${PGPORT:-5432}"; do options="$options$(quoted "$word")"; done
    NOTIFY_SOCKET='' pg_ctl -D "$PGDATA" -o "$options" -w start
}

stop_temporary_server() {
    pg_ctl -D "$PGDATA" -m fast -w stop
}

# Of this name since init scripts may call it: psql as the superuser, on the new database.
docker_process_sql() {
    psql -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --no-password --no-psqlrc \
        ${POSTGRES_DB:+--dbname "$POSTGRES_DB"} "$@"
}

make_database() {
    if [ "$POSTGRES_DB" = postgres ]; then return; fi
    printf 'CREATE DATABASE :"db";\n' | docker_process_sql --dbname postgres --set db="$POSTGRES_DB"
    echo
}

run_init_scripts() {
    for script in /docker-entrypoint-initdb.d/*; do
        case $script in
            *.sh)
                if [ -x "$script" ]; then
                    printf '%s: running %s\n' "$0" "$script"
                    "$script"
                else
                    printf '%s: sourcing %s\n' "$0" "$script"
                    . "$script"
                fi ;;
            *.sql) printf '%s: running %s\n' "$0" "$script"; docker_process_sql -f "$script" ;;
            *.sql.gz) printf '%s: running %s\n' "$0" "$script"; gunzip -c "$script" | docker_process_sql ;;
            *.sql.xz) printf '%s: running %s\n' "$0" "$script"; xzcat "$script" | docker_process_sql ;;
            *) printf '%s: ignoring %s\n' "$0" "$script" ;;
        esac
        echo
    done
}

wants_help() {
    for word in "$@"; do
        case $word in -'?' | --help | --describe-config | -V | --version) return 0 ;; esac
    done
    return 1
}

case ${1:-} in -*) set -- postgres "$@" ;; esac

if [ "${1:-}" = postgres ] && ! wants_help "$@"; then
    read_variable POSTGRES_PASSWORD
    read_variable POSTGRES_USER postgres
    read_variable POSTGRES_DB "$POSTGRES_USER"
    read_variable POSTGRES_INITDB_ARGS
    : "${POSTGRES_HOST_AUTH_METHOD:=}"
    make_folders
    if [ "$(id -u)" = 0 ]; then
        # su becomes the shell, and the shell this script: no process stays between the engine and the server.
        # The -- keeps su from taking the server's own -c for its command.
        exec su -m -s /bin/sh -c 'exec "$0" "$@"' -- postgres "$0" "$@"
    fi
    if [ -s "$PGDATA/PG_VERSION" ]; then
        printf '\nPostgreSQL Database directory appears to contain a database; Skipping initialization\n\n'
    else
        require_password
        ls /docker-entrypoint-initdb.d/ >/dev/null # fails now rather than half-way where it may not be read
        make_cluster
        shift_first="$1"; shift
        let_hosts_in "$@"
        export PGPASSWORD="${PGPASSWORD:-$POSTGRES_PASSWORD}"
        start_temporary_server "$@"
        make_database
        run_init_scripts
        stop_temporary_server
        unset PGPASSWORD
        set -- "$shift_first" "$@"
        printf '\nPostgreSQL init process complete; ready for start up.\n\n'
    fi
fi

exec "$@"
