# psql in a private server that is kept, for ./quickstart shell. Sourced after scripts/lib.sh, with packages there.
#
# The first time makes a cluster with the demo's tables: train, 60,000 images with the index train_v_idx, and query, 10,000
# images to search for. Later times start it with the library as the tree builds it now. The server stops when the last
# such psql ends. Whatever is done there stays.
#
# The cluster lies in build/shell-VERSION, which git ignores and make clean removes; where the server's user cannot reach
# the tree (as root, with the tree in /root), in ${TMPDIR:-/tmp}. To begin anew remove the folder, whose name is shown.
# Only what psql says goes to standard output.

# make_kept_folder FOLDER: sets work. False if the server could not live in there.
make_kept_folder() {
    local owner
    owner=$(if is_root; then echo postgres; else id -un; fi)
    work=$1
    [ ${#work} -le 70 ] || return 1 # the socket's name has room for no more
    mkdir -p "$(dirname "$work")"
    if mkdir "$work" 2>/dev/null && is_root; then chown postgres: "$work"; fi
    [ "$(stat -c %U "$work")" = "$owner" ] || die "$work belongs to somebody else" "remove it, or set TMPDIR"
    as_server test -w "$work" 2>/dev/null || { rmdir "$work" && return 1; }
}

is_running() { [ -d "$work/data" ] && as_server "$bin/pg_ctl" -D "$work/data" status >/dev/null; }

stop_server() { quietly stop as_server "$bin/pg_ctl" -w -m fast -D "$work/data" stop; }

make_cluster_with_tables() {
    rm -rf "$work/data" # half a cluster, of a run that was ended
    make_cluster
    start_cluster "${demo_settings[@]}"
    say "loading 60,000 images and building an index, the first time only"
    quietly load psql -X -v ON_ERROR_STOP=1 -c 'CREATE EXTENSION quantvec'
    quietly load python3 "$root/scripts/load_fashion_mnist.py" train query
    quietly load psql -X -v ON_ERROR_STOP=1 -c 'CREATE INDEX train_v_idx ON train USING quantvec (v vector_l2_ops)'
    cat "$root"/sql/install/*.sql >"$work/installed.sql" # the mark of a whole cluster
}

prepare_shell() {
    local version
    build
    install_privately
    if [ ! -e "$work/installed.sql" ]; then
        ! is_running || stop_server
        make_cluster_with_tables
    elif is_running; then
        use_server
    else
        start_cluster "${demo_settings[@]}"
    fi
    say "psql of $("$PG_CONFIG" --version | cut -d' ' -f1-2), kept in $work"
    echo "    tables train and query (id int, v vector(784)), index train_v_idx; to begin anew: rm -rf $work"
    cat "$root"/sql/install/*.sql | cmp -s - "$work/installed.sql" ||
        echo "    sql/install has changed since this cluster was made, which has the functions of that time: begin anew"
}

# Other such psqls go on.
leave_shell() {
    local status=$? clients
    trap '' INT TERM
    clients=$(psql -XAtc "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'" 2>/dev/null) || true
    [ "${clients:-1}" -gt 1 ] || stop_server || true
    exit $status
}

rm -rf "$work" # the folder for one run; there are logs in it
make_kept_folder "$root/build/shell-$(basename "$(dirname "$bin")")" ||
    make_kept_folder "${TMPDIR:-/tmp}/quantvec-shell-$(id -u)-$(cksum <<<"$bin $root" | cut -d' ' -f1)" ||
    die "the server's user cannot reach $work" "set TMPDIR=/tmp"
trap leave_shell EXIT
prepare_shell >&2
trap : INT # is psql's
psql "$@"
