# The tests of the project, for ./quickstart test and scripts/against. Sourced after scripts/lib.sh; functions only.
#
#   choose_tests [MODE | NAME...]   says which; needs nothing but the tree
#   run_tests                       runs them, with packages and work folder ready
#
# run_tests prints one line a step and, last, the sum over all checks, which it leaves in passed, failed and skipped.
#
# The server's user may not be able to read this tree or write into it: SQL and TAP tests run from a copy in $work.

. "$root/scripts/clients.sh"

passed=0 failed=0 skipped=0
tested=0 # of those that passed, how many are more than a step on the way to the tests
broken=0 # of those that failed, how many are steps in which no check came to be run

# ---- which ----

# What there is, by the names of the files, and the names in test/unit.
sql_names() { (cd "$root/sql" && printf '%s\n' *.sql) | sed '/--/d; s/\.sql$//'; }
tap_names() { (cd "$root/test/t" && printf '%s\n' *.pl) | sed 's/\.pl$//'; }
unit_names() { sed -n 's/^TEST(\(.*\)) {$/\1/p' "$root"/test/unit/*_test.cpp; }

# choose_tests [MODE]: all; newest: all, and the SQL regression with the newest server that can be had; server: what
# depends on server and compiler; sql: the SQL regression only; queries: many random queries only.
# choose_tests NAME...: a SQL file, a TAP file or its number, unit and a part of a name in test/unit (all without), or
# clients: the drivers for Python.
# Ends the script if a name names nothing.
choose_tests() {
    mode=${*:-all} newest=false shown=40
    patterns=('') regress=() tap=() clients=false # '' is a part of every name
    case $mode in
        all) choose_tests server; mode=all clients=true ;;
        server) mapfile -t regress < <(sql_names); mapfile -t tap < <(tap_names) ;;
        newest) choose_tests all; newest=true ;;
        sql) patterns=(); mapfile -t regress < <(sql_names) ;;
        queries) patterns=() tap=(015_queries) ;;
        *) mode=named shown=100 patterns=(); choose_by_name "$@" ;;
    esac
}

choose_by_name() { # NAME...
    local name file
    while [ $# -gt 0 ]; do
        name=${1##*/} # a file's path is good too
        if [ "$1" = clients ]; then
            clients=true
        elif [ "$1" = unit ]; then
            unit_names | grep -F -e "${2:-}" >/dev/null || no_test "unit $2"
            patterns+=("${2:-}")
            shift
        elif [[ $name != *.pl ]] && sql_names | grep -xF -e "${name%.sql}" >/dev/null; then
            regress+=("${name%.sql}")
        elif file=$(tap_name "${name%.pl}"); then
            tap+=("$file")
        else
            no_test "$1"
        fi
        [ $# = 0 ] || shift
    done
}

# The TAP file of a name or number; false if there is none.
tap_name() {
    local name
    for name in $(tap_names); do
        [[ $name != "$1" && $name != "$1"_* ]] || { echo "$name"; return; }
    done
    return 1
}

no_test() { # NAME
    {
        echo "error: there is no test $1. There are"
        sql_names | in_lines 'SQL files'
        tap_names | in_lines 'TAP files'
        unit_names | sed -E 's/^([A-Z][a-z0-9]*).*/\1/' | sort | uniq -d | in_lines 'unit with'
        echo '              and whatever else is a part of a name in test/unit'
        echo '  clients     the drivers for Python, in test/clients/drivers'
    } >&2
    exit 2
}

in_lines() { fmt -w 100 | sed "1s/^/$(printf '  %-12s' "$1")/; 2,\$s/^/              /"; }

# ---- one step, and what it says ----

# report NAME SECONDS PASSED FAILED SKIPPED
report() {
    local verdict=PASS
    [ "$4" -eq 0 ] || verdict=FAIL
    [ $(($3 + $4)) -gt 0 ] || verdict=SKIP
    printf '%s  %-36s %4d passed %3d failed %3d skipped %4d s\n' $verdict "$1" "$3" "$4" "$5" "$2"
    passed=$((passed + $3)) failed=$((failed + $4)) skipped=$((skipped + $5))
}

# run_step NAME COUNTER COMMAND...: COUNTER reads the output and prints passed, failed, skipped. A command that
# fails without a failed check is one failed check; one that succeeds without any is one that passed.
run_step() {
    local name=$1 counter=$2 log=$work/step.log status=0 start=$SECONDS p f s
    shift 2
    aloud "$log" in_subshell "$@" || status=$?
    read -r p f s < <($counter <"$log")
    [ $status = 0 ] || [ $((p + f + s)) -gt 0 ] || broken=$((broken + 1))
    [ $status = 0 ] || [ "$f" -gt 0 ] || f=1
    [ $((p + f + s)) -gt 0 ] || p=1
    report "$name" $((SECONDS - start)) "$p" "$f" "$s"
    [ $counter = one_check ] || tested=$((tested + p))
    if [ "$f" -gt 0 ]; then
        what_failed "$log" | cut -c 1-300 | sed 's/^/    | /'
    elif [ "$s" -gt 0 ]; then
        grep -iE '# *skip|\.\. skipped: |^skipped |^SKIP |^check-.* skipped' "$log" | sort -u | sed 's/^/    | /' || true
    fi
    [ "$f" -eq 0 ]
}

# A short output whole; of another, what failed, wherever it stands, and then how the step ended.
what_failed() { # LOG
    if [ "$(wc -l <"$1")" -gt "$shown" ]; then
        grep -A 12 -E '^not ok|^ *# +Failed test| \.\.\. FAILED|^FAIL|error:' "$1" | head -n 60 || true
        echo ...
    fi
    tail -n "$shown" "$1"
}

in_subshell() { ("$@"); }

one_check() { echo 0 0 0; }

# scripts/check-*: one that passed may say that a part of it was skipped.
count_rule() { awk '/^check-.* skipped/ { p = s = 1 } END { print p + 0, 0, s + 0 }'; }

# test/unit: "skipped name: reason" lines and, last, "N passed, N failed".
count_unit() {
    awk '/^skipped / { s++ } /^[0-9]+ passed, [0-9]+ failed/ { p = $1; f = $3 } END { print p + 0, f + 0, s + 0 }'
}

# pg_regress: "test name ... ok" up to 15, "ok 1 - name" from 16 on.
count_regress() {
    awk '/ \.\.\. ok|^ok / { p++ } / \.\.\. FAILED|^not ok / { f++ } END { print p + 0, f + 0, 0 }'
}

# prove --verbose: subtests are indented and belong to their test.
count_tap() {
    awk '{ l = tolower($0) }
         l ~ /\.\. skipped: / || l ~ /^ok.*# *skip/ || l ~ /^not ok.*# *todo/ { s++; next }
         /^ok/ { p++ } /^not ok/ { f++ } END { print p + 0, f + 0, s + 0 }'
}

# scripts/matrix: "PASS server ...: N passed, N failed, N skipped ..." or "SKIP server: reason".
count_matrix() {
    awk '/^SKIP / { s++ }
         match($0, /[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped/) && /^(PASS|FAIL) / {
             split(substr($0, RSTART, RLENGTH), n, /[^0-9]+/); p += n[1]; f += n[2]; s += n[3]
         }
         END { print p + 0, f + 0, s + 0 }'
}

# keep FILE...: what a test of a name leaves when it fails, for who looks into it.
keep() {
    [ "$mode" = named ] || return 0
    mkdir -p "$root/build/failed"
    cp -r "$@" "$root/build/failed/"
    echo "results and logs are in $root/build/failed"
}

# ---- the steps ----

copy_tree() {
    mkdir "$work/tree"
    tar -C "$root" --exclude=./.git --exclude=./build --exclude=./demo --exclude='*.o' -cf - . |
        tar -C "$work/tree" -xf -
    if [ -n "${QUANTVEC_DATA:-}" ]; then
        QUANTVEC_DATA=$(cd "$QUANTVEC_DATA" && pwd) || die "QUANTVEC_DATA names no folder"
        as_server test -r "$QUANTVEC_DATA" || { cp -r "$QUANTVEC_DATA" "$work/real" && QUANTVEC_DATA=$work/real; }
        export QUANTVEC_DATA
    fi
    if is_root; then chown -R postgres: "$work/tree"; fi
}

unit_tests() { # PART-OF-A-NAME
    make -C "$root" -j"$(nproc)" build/unit/unit && "$root/build/unit/unit" "$1"
}

sql_regression() {
    # An ANALYZE of autovacuum would keep dead rows from a VACUUM whose work the tests count. JIT compiles every
    # plan that the tests force by a setting, since those have a cost of 1e10.
    start_server 'autovacuum = off' 'jit = off'
    as_server "$pgxs/test/regress/pg_regress" --inputdir="$work/tree" --outputdir="$work/tree" --bindir="$bin" \
        --dbname=contrib_regression --load-extension=quantvec "$@" && return
    head -n "$((shown * 3 / 4))" "$work/tree/regression.diffs"
    keep "$work/tree/regression.diffs" "$work"/tree/results/*
    return 1
}

tap_test() { # NAME
    local folder=$work/tap/$1
    as_server mkdir -p "$folder/tmp_check/log"
    as_server env -C "$work/tree" TMPDIR="$work" TESTDIR="$folder" TESTDATADIR="$folder/tmp_check" \
        TESTLOGDIR="$folder/tmp_check/log" TEMP_CONFIG="$work/server.conf" PATH="$bin:$PATH" \
        QUANTVEC_POINTS="$work/points.conf" QUANTVEC_AS_VECTOR="$work/as_vector.conf" \
        PG_REGRESS="$pgxs/test/regress/pg_regress" \
        timeout -k 30 "${tap_seconds:-900}" prove --verbose -I "$pgxs/test/perl" "test/t/$1.pl" && rm -rf "$folder" && return
    tail -n 20 "$folder/tmp_check/log/regress_log_$1"
    keep "$folder"/tmp_check/log/*
    return 1
}

# What install_privately has made once more, with the library that has points for tests, in $work/points.
install_points() {
    make -C "$root" -j"$(nproc)" points
    cp -r "$work/install" "$work/points"
    cp "$root/build/points/quantvec.so" "$work/points$("$PG_CONFIG" --pkglibdir)/quantvec.so"
    sed "s|$work/install|$work/points|" "$work/server.conf" >"$work/points.conf"
}

# What install_privately has made once more, with extension vector in pgvector's place, in $work/as_vector.
install_as_vector() {
    cp -r "$work/install" "$work/as_vector"
    make -C "$root" -j"$(nproc)" install-as-vector DESTDIR="$work/as_vector"
    sed "s|$work/install|$work/as_vector|" "$work/server.conf" >"$work/as_vector.conf"
}

# Server, compiler, headers and processor, in one line.
about() {
    local config xsimd assertions=
    config=$(printf '#include <xsimd/xsimd.hpp>\nXSIMD_VERSION_MAJOR.XSIMD_VERSION_MINOR' | g++ -x c++ -std=c++20 -E -P - 2>/dev/null || true)
    xsimd=$(tail -n 1 <<<"$config" | tr -d ' ')
    [[ $("$PG_CONFIG" --configure) != *--enable-cassert* ]] || assertions=' with assertions'
    echo "$("$PG_CONFIG" --version | sed 's/ (.*//')$assertions, g++ $(g++ -dumpfullversion), xsimd ${xsimd:-none}, $(uname -m)"
}

# Whether one of the TAP tests says this word: it names the library or the install that the test wants.
is_wanted() { # WORD
    local name
    for name in "${tap[@]}"; do
        ! grep -q "$1" "$root/test/t/$name.pl" || return 0
    done
    return 1
}

wants_a_server() { [ ${#regress[@]} -gt 0 ] || [ ${#tap[@]} -gt 0 ] || $clients; }

run_tests() {
    local rule pattern name runnable=true
    say "testing with $(about)"
    if [ "$mode" = queries ]; then
        export QUANTVEC_QUERIES="${QUANTVEC_QUERIES:-10000}" QUANTVEC_SEED="${QUANTVEC_SEED:-$(date +%s)}"
        tap_seconds=$((900 + QUANTVEC_QUERIES))
        say "QUANTVEC_QUERIES=$QUANTVEC_QUERIES QUANTVEC_SEED=$QUANTVEC_SEED"
    fi
    export WERROR=-Werror
    rm -rf "$root/build/failed"
    if wants_a_server; then
        copy_tree
        run_step 'make' one_check make -C "$root" -j"$(nproc)" || runnable=false
    fi
    if [ "$mode" = all ]; then
        for rule in layers odr headers needs tests walks files; do
            run_step "make check-$rule" count_rule make -C "$root" "check-$rule" || true
        done
    fi
    for pattern in "${patterns[@]}"; do
        run_step "make unit${pattern:+, $pattern}" count_unit unit_tests "$pattern" || true
    done
    if [ "$mode" = all ]; then
        run_step 'make unit-sanitize' count_unit make -C "$root" -j"$(nproc)" unit-sanitize || true
        run_step 'make fuzz' count_tap make -C "$root" fuzz FUZZ_RUNS=100000 || true
    fi
    if wants_a_server; then
        run_on_a_server
    fi
    if $newest; then
        run_step 'SQL regression, newest server' count_matrix "$root/scripts/matrix" --sql newest || true
    fi
    echo "$passed passed, $failed failed, $skipped skipped"
}

run_on_a_server() {
    if $runnable; then
        run_step 'make install' one_check install_privately || runnable=false
    fi
    if $runnable && is_wanted points_settings; then
        run_step 'make points' one_check install_points || runnable=false
    fi
    if $runnable && { $clients || is_wanted as_vector_settings; }; then
        run_step 'make install-as-vector' one_check install_as_vector || runnable=false
    fi
    if ! $runnable; then
        [ ${#regress[@]} = 0 ] || report 'SQL regression' 0 0 0 ${#regress[@]}
        [ ${#tap[@]} = 0 ] || report 'TAP tests' 0 0 0 ${#tap[@]}
        ! $clients || report 'clients in Python' 0 0 0 1
        return
    fi
    if [ ${#regress[@]} -gt 0 ]; then
        run_step 'SQL regression' count_regress sql_regression "${regress[@]}" || true
    fi
    if $clients; then
        run_step 'clients in Python' count_tap python_drivers || true
    fi
    if [ ${#tap[@]} -gt 0 ] && [ ! -e "$pgxs/test/perl/PostgreSQL/Test/Cluster.pm" ]; then
        report 'TAP tests: not with this server' 0 0 0 ${#tap[@]}
        return
    fi
    for name in "${tap[@]}"; do
        run_step "test/t/$name.pl" count_tap tap_test "$name" || true
    done
    [ "$mode" != queries ] || grep -E '^# .*(: recall |rows of)' "$work/step.log" || true
}
