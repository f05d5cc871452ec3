# Clients of others, unmodified, against private servers: for ./quickstart test and test/clients/run. Sourced by
# scripts/test.sh; functions only. quantvec is installed where $work/server.conf and $work/as_vector.conf say.
#
# A client is a program test/clients/FOLDER/use_NAME.*, which gets a connection string to a new database and the way in,
# and prints TAP: first "# NAME: PACKAGE VERSION, ...", then a line a check. The ways in are
#
#   quantvec            the extension quantvec is in the database
#   quantvec_pgvector   the extension quantvec_pgvector is, and so is pgvector
#   vector              nothing is: the client creates an extension vector, which is quantvec in pgvector's place
#
# What they are made of (virtual environments, node_modules, binaries) lies in build/clients.

ways=(quantvec quantvec_pgvector vector)

# The programs in these folders, as FOLDER/use_NAME.SUFFIX.
client_programs() { # FOLDER...
    (cd "$root/test/clients" && find "$@" -name 'use_*' | sort)
}

client_name() { # PROGRAM
    local name=${1##*/use_}
    echo "${name%.*}"
}

# ---- what they need ----

# Succeeds if the clients of a folder can run. Else the last line of the output is the reason.
make_environment() { # FOLDER
    local from=$root/test/clients/$1 to=$root/build/clients/$1
    case $1 in
        node) make_node_environment ;;
        go) make_go_environment ;;
        rust) make_rust_environment ;;
        *) make_python_environment ;;
    esac
}

make_python_environment() {
    ! cmp -s "$from/requirements.txt" "$to/installed.txt" || return 0
    rm -rf "$to"
    python3 -m venv "$to" || { echo 'python3 has no venv: install the package python3-venv' && return 1; }
    "$to/bin/pip" install --quiet --retries 1 --timeout 30 -r "$from/requirements.txt" || return
    cp "$from/requirements.txt" "$to/installed.txt"
}

make_node_environment() {
    command -v node && command -v npm || { echo 'there is no node or npm: install the packages nodejs and npm' && return 1; }
    mkdir -p "$to"
    cp "$from"/*.mjs "$to/" # a program finds modules in its own folder
    ! cmp -s "$from/package-lock.json" "$to/installed.json" || return 0
    cp "$from/package.json" "$from/package-lock.json" "$to/"
    npm --prefix "$to" ci --no-audit --no-fund && cp "$from/package-lock.json" "$to/installed.json"
}

make_go_environment() {
    command -v go || { echo 'there is no go: install the package golang' && return 1; }
    mkdir -p "$to"
    (cd "$from" && GOTOOLCHAIN=local GOPATH="$to/path" go build -modcacherw -o "$to/" ./...)
}

make_rust_environment() {
    command -v cargo || { echo 'there is no cargo: install the package cargo' && return 1; }
    mkdir -p "$to"
    cp -r "$from/." "$to/" # cargo writes beside the sources
    cargo build --quiet --manifest-path "$to/Cargo.toml"
}

# ---- a client in a server ----

# A command in a server of its own, whose extensions the settings in FILE name.
with_server() ( # FILE COMMAND...
    file=$1
    shift
    work=$(mktemp -d "$work/server.XXX")
    ! is_root || chown postgres: "$work"
    cp "$file" "$work/server.conf"
    start_server 'jit = off' 'shared_buffers = 128MB'
    "$@" || status=$?
    quietly stop as_server "$bin/pg_ctl" -w -m fast -D "$work/data" stop
    return ${status:-0}
)

# The settings of a server for a way in.
settings_of() { # WAY
    if [ "$1" = vector ]; then echo "$work/as_vector.conf"; else echo "$work/server.conf"; fi
}

has_pgvector() { psql -XAtc "SELECT 'yes' FROM pg_available_extensions WHERE name = 'vector'" | grep -q yes; }

# In a server of the way in. The planner does without a sequential scan, which it would rightly take for such tables.
run_client() { # PROGRAM WAY
    local program=$root/test/clients/$1 folder=${1%%/*} database=$(client_name "$1") status=0 url
    if [ "$2" = quantvec_pgvector ] && ! has_pgvector; then
        echo "ok 1 - $database # SKIP this server has no pgvector"
        return
    fi
    createdb "$database"
    psql -Xq "$database" -c "ALTER DATABASE \"$database\" SET enable_seqscan = off"
    [ "$2" = vector ] || psql -Xq "$database" -c "CREATE EXTENSION $2 CASCADE"
    url="postgresql://postgres@/$database?host=$work"
    case $folder in
        node) set -- env -C "$root/build/clients/node" node "${1##*/}" "$url" "$2" ;;
        go) set -- "$root/build/clients/go/use_$database" "$url" "$2" ;;
        rust) set -- "$root/build/clients/rust/target/debug/use_$database" "$url" "$2" ;;
        *) set -- "$root/build/clients/$folder/bin/python" "$program" "$url" "$2" ;;
    esac
    PYTHONPATH=$root/test/clients/common timeout 300 "$@" || status=$?
    indexes_are_sound "$database" || status=1
    dropdb -f "$database"
    return $status
}

# The client has made an index of ours, whatever its access method is called, and each is sound.
indexes_are_sound() { # DATABASE
    local found
    found=$(psql -XAt "$1" -v ON_ERROR_STOP=1 -c "SELECT count(*) FROM (SELECT quantvec_check(c.oid, true)
        FROM pg_class c JOIN pg_am a ON a.oid = c.relam JOIN pg_proc p ON p.oid = a.amhandler
        WHERE c.relkind = 'i' AND p.probin LIKE '%quantvec%') checked" 2>&1) || true
    if [[ $found =~ ^[1-9][0-9]*$ ]]; then
        echo "ok - $found sound indexes of quantvec were made"
    else
        echo "not ok - sound indexes of quantvec were made"
        echo "#   $found"
        return 1
    fi
}

# pgvector is beside us in one of the ways only.
is_for() { [[ $1 != */use_pgvector.* || $2 = quantvec_pgvector ]]; } # PROGRAM WAY

# ---- the Python drivers, as one step of the tests ----

python_drivers() {
    local way status=0
    if ! make_environment drivers >"$work/environment.log" 2>&1; then
        echo "ok 1 - drivers # SKIP $(tail -n 1 "$work/environment.log")"
        return
    fi
    for way in "${ways[@]}"; do
        with_server "$(settings_of "$way")" all_drivers "$way" || status=1
    done
    return $status
}

all_drivers() { # WAY
    local program status=0
    for program in $(client_programs drivers); do
        is_for "$program" "$1" || continue
        run_client "$program" "$1" || status=1
    done
    return $status
}
