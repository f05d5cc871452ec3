# What quickstart needs of a machine: packages, the build, a private install, a private server.
# Sourced by bash scripts that have set -euo pipefail and root, the folder of this tree.
#
# Everything but the build's products lives in one folder, $work, which is removed at the end:
#   install/   what make install installs       server.conf   the settings that make a server find it
#   data/      the cluster                      *.log         what was too long for the terminal

say() { printf '==> %s\n' "$*"; }

# die WHAT [WHAT TO DO]
die() {
    printf 'error: %s\n' "$1" >&2
    [ $# -lt 2 ] || printf '       %s\n' "$2" >&2
    exit 1
}

is_root() { [ "$(id -u)" = 0 ]; }

# aloud LOG COMMAND...: the output goes to LOG; every eight seconds a line says what is going on.
aloud() {
    local log=$1 status=0 ticker
    shift
    : >"$log"
    ticking "$log" &
    ticker=$!
    "$@" >>"$log" 2>&1 </dev/null || status=$?
    kill $ticker
    wait $ticker 2>/dev/null || true
    return $status
}

# The last line of the log; of a compiler's, its last word.
ticking() {
    local never line
    trap - EXIT INT TERM
    exec {never}<> <(:) # read waits here without a process that would have to be ended
    SECONDS=0
    while read -r -t 8 -u $never || kill -0 $$ 2>/dev/null; do # an interrupt ends the script, not its background jobs
        line=$(tail -c 4000 "$1" | tr '\r' '\n' | sed -E 's/ +$//; /^$/d; s/^[^ ]*(gcc|g\+\+|cc|c\+\+)(-[0-9]+)? .* //' | tail -n 1)
        [ -z "$line" ] || printf '    %3d s  %.100s\n' $SECONDS "$line"
    done
}

# quietly NAME COMMAND...: the output goes to $work/NAME.log; its end is shown if the command fails.
quietly() {
    local log=$work/$1.log
    shift
    aloud "$log" "$@" || {
        tail -n 40 "$log" >&2
        return 1
    }
}

# ---- packages ----

installed() { [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

apt() {
    local sudo=sudo
    if is_root; then
        sudo=
    elif ! command -v sudo >/dev/null; then
        die "packages are missing and sudo is not installed" "run this as root once: apt-get install ${missing[*]}"
    fi
    quietly apt $sudo env DEBIAN_FRONTEND=noninteractive apt-get -y --no-install-recommends \
        -o DPkg::Lock::Timeout=300 "$@" ||
        die "apt-get $1 failed" "look at the lines above; on Ubuntu the component universe must be enabled"
}

# The major version of the newest installed server, or nothing.
installed_major() { ls -d /usr/lib/postgresql/*/bin/postgres 2>/dev/null | cut -d/ -f5 | sort -n | tail -n 1 || true; }

# The major version that apt offers, or nothing.
offered_major() { apt-cache depends postgresql 2>/dev/null | sed -n 's/.*Depends: postgresql-\([0-9]*\)$/\1/p' || true; }

# Installs what is missing and sets PG_CONFIG, unless the caller chose another server by it.
install_packages() {
    local package major wanted=(g++ make python3 libxsimd-dev libipc-run-perl dataset-fashion-mnist)
    major=$(installed_major)
    if [ -z "${PG_CONFIG:-}" ] && [ -n "$major" ]; then
        wanted+=("postgresql-$major" "postgresql-server-dev-$major")
    fi
    missing=()
    for package in "${wanted[@]}"; do
        installed "$package" || missing+=("$package")
    done
    if [ ${#missing[@]} -gt 0 ] || [ -z "${PG_CONFIG:-}$major" ]; then
        command -v apt-get >/dev/null || die "this is not Debian or Ubuntu" "install the likes of: ${missing[*]}"
        say "asking apt for what is missing"
        apt update
        if [ -z "${PG_CONFIG:-}$major" ]; then
            major=$(offered_major)
            [ -n "$major" ] || die "apt offers no package postgresql" "check the apt sources of this machine"
            missing+=("postgresql-$major" "postgresql-server-dev-$major")
        fi
        say "installing ${missing[*]}"
        if installed postgresql-common; then
            apt install "${missing[@]}"
        else
            install_without_cluster "${missing[@]}"
        fi
    fi
    : "${PG_CONFIG:=/usr/lib/postgresql/$major/bin/pg_config}"
    export PG_CONFIG
    bin=$("$PG_CONFIG" --bindir)
    pgxs=$(dirname "$(dirname "$("$PG_CONFIG" --pgxs)")")
}

# A first installation of Debian's server would create and start a cluster. We need none.
install_without_cluster() (
    apt install postgresql-common
    conf=/etc/postgresql-common/createcluster.conf
    trap 'as_root mv $conf.saved $conf' EXIT
    as_root sed -i.saved '$a create_main_cluster = false' $conf
    apt install "$@"
)

as_root() { if is_root; then "$@"; else sudo "$@"; fi; }

# ---- build and private install ----

build() {
    say "building for $("$PG_CONFIG" --version)"
    quietly build make -C "$root" -j"$(nproc)" || die "the build failed"
}

# Installs into $work. A server whose configuration includes $work/server.conf finds it there. QUANTVEC_OWN_SERVER
# says that the server of PG_CONFIG serves nobody else: then into the server itself.
install_privately() {
    local major
    if [ -n "${QUANTVEC_OWN_SERVER:-}" ]; then
        quietly install make -C "$root" install || die "make install failed"
        : >"$work/server.conf"
        return
    fi
    quietly install make -C "$root" install DESTDIR="$work/install" || die "make install failed"
    major=$("$bin/postgres" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')
    echo "dynamic_library_path = '$work/install$("$PG_CONFIG" --pkglibdir):\$libdir'" >"$work/server.conf"
    if "$bin/postgres" --describe-config | grep '^extension_destdir' >/dev/null; then
        echo "extension_destdir = '$work/install'" # of Debian and Ubuntu
    elif [ "$major" -ge 18 ]; then
        echo "extension_control_path = '$work/install$("$PG_CONFIG" --sharedir):\$system'"
    else
        die "this server loads extensions from its own folders only" "use the server packages of Debian or Ubuntu"
    fi >>"$work/server.conf"
}

# ---- the private server ----

# Runs a command as the user of the server, which refuses to be root.
as_server() {
    (cd "$work" && if is_root; then HOME=$work runuser -u postgres -- "$@"; else HOME=$work "$@"; fi)
}

# start_server [SETTING...]: a cluster of its own, reached by a socket in $work only.
start_server() {
    make_cluster
    start_cluster "$@"
}

make_cluster() {
    quietly initdb as_server "$bin/initdb" -D "$work/data" -A trust -N -U postgres -E UTF8 --no-locale ||
        die "initdb failed"
    echo "include 'private.conf'" >>"$work/data/postgresql.conf"
}

# start_cluster [SETTING...]: that of make_cluster, which may be an old one.
start_cluster() {
    {
        cat "$work/server.conf"
        printf '%s\n' "listen_addresses = ''" "unix_socket_directories = '$work'" 'fsync = off' "$@"
    } >"$work/data/private.conf"
    quietly start as_server "$bin/pg_ctl" -w -t 120 -D "$work/data" -l "$work/server.log" start || {
        tail -n 20 "$work/server.log" >&2
        die "the private server does not start"
    }
    use_server
}

use_server() { export PGHOST=$work PGUSER=postgres PGDATABASE=postgres PATH=$bin:$PATH; }

# What the demo's table wants.
demo_settings=('shared_buffers = 640MB' 'maintenance_work_mem = 512MB' 'max_wal_size = 4GB' 'jit = off')

make_work_folder() {
    local variable
    for variable in ${!PG@}; do # the caller's servers and databases are not ours
        case $variable in PG_CONFIG | PG_TEST_*) ;; *) unset "$variable" ;; esac
    done
    umask 022
    export PYTHONDONTWRITEBYTECODE=1
    work=$(mktemp -d "${TMPDIR:-/tmp}/quantvec.XXXXXX")
    [ ${#work} -le 70 ] || die "the folder's name $work is too long for a socket" "set TMPDIR=/tmp"
    trap clean_up EXIT
    trap 'exit 130' INT TERM
}

# The folder belongs to the server's user, which is known only once the packages are there.
share_work_folder() {
    is_root || return 0
    id postgres >/dev/null 2>&1 || die "there is no user postgres to run the server" "run this as a user, not as root"
    chown postgres: "$work"
    as_server test -w "$work" 2>/dev/null || die "user postgres cannot reach $work" "set TMPDIR=/tmp"
}

# Stops every server whose data lies in $work (tests start their own) and removes the folder.
clean_up() {
    local status=$? pid_file
    trap '' INT TERM
    find "$work" -name postmaster.pid 2>/dev/null | while read -r pid_file; do
        as_server "$bin/pg_ctl" -w -m immediate -D "$(dirname "$pid_file")" stop >/dev/null 2>&1 || true
    done
    rm -rf "$work"
    exit $status
}
