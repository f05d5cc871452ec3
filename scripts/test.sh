# Every test of the project, for ./quickstart test. Sourced after scripts/lib.sh, with packages and work folder
# ready. Prints one line a step and, last, the sum over all checks; the exit code says whether one failed.
#
# The server's user may not be able to read this tree or write into it: SQL and TAP tests run from a copy in $work.

passed=0 failed=0 skipped=0

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
    ("$@") >"$log" 2>&1 </dev/null || status=$?
    read -r p f s < <($counter <"$log")
    [ $status = 0 ] || [ "$f" -gt 0 ] || f=1
    [ $((p + f + s)) -gt 0 ] || p=1
    report "$name" $((SECONDS - start)) "$p" "$f" "$s"
    if [ "$f" -gt 0 ]; then
        tail -n 70 "$log" | sed 's/^/    | /'
    elif [ "$s" -gt 0 ]; then
        grep -iE '# *skip|\.\. skipped: |^skipped |^check-.* skipped' "$log" | sort -u | sed 's/^/    | /' || true
    fi
    [ "$f" -eq 0 ]
}

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

sql_regression() {
    # An ANALYZE of autovacuum would keep dead rows from a VACUUM whose work the tests count.
    start_server 'autovacuum = off'
    as_server "$pgxs/test/regress/pg_regress" --inputdir="$work/tree" --outputdir="$work/tree" --bindir="$bin" \
        --dbname=contrib_regression --load-extension=quantvec "$@" && return
    head -n 40 "$work/tree/regression.diffs"
    return 1
}

tap_test() { # NAME
    local folder=$work/tap/$1
    as_server mkdir -p "$folder/tmp_check/log"
    as_server env -C "$work/tree" TMPDIR="$work" TESTDIR="$folder" TESTDATADIR="$folder/tmp_check" \
        TESTLOGDIR="$folder/tmp_check/log" TEMP_CONFIG="$work/server.conf" PATH="$bin:$PATH" \
        QUANTVEC_POINTS="$work/points.conf" \
        PG_REGRESS="$pgxs/test/regress/pg_regress" \
        timeout -k 30 900 prove --verbose -I "$pgxs/test/perl" "test/t/$1.pl" && rm -rf "$folder" && return
    tail -n 20 "$folder/tmp_check/log/regress_log_$1"
    return 1
}

# What install_privately has made once more, with the library that has points for tests, in $work/points.
install_points() {
    make -C "$root" -j"$(nproc)" points
    cp -r "$work/install" "$work/points"
    cp "$root/build/points/quantvec.so" "$work/points$("$PG_CONFIG" --pkglibdir)/quantvec.so"
    sed "s|$work/install|$work/points|" "$work/server.conf" >"$work/points.conf"
}

say "testing with $("$PG_CONFIG" --version)"
export WERROR=-Werror
copy_tree
runnable=true
run_step 'make' one_check make -C "$root" -j"$(nproc)" || runnable=false
for rule in layers odr headers tests; do
    run_step "make check-$rule" count_rule make -C "$root" "check-$rule" || true
done
run_step 'make unit' count_unit make -C "$root" -j"$(nproc)" unit || true
run_step 'make unit-sanitize' count_unit make -C "$root" -j"$(nproc)" unit-sanitize || true
if $runnable; then
    run_step 'make install' one_check install_privately || runnable=false
    run_step 'make points' one_check install_points || runnable=false
fi

regress=() tap=()
for file in "$root"/sql/*.sql; do
    [[ $file = *--* || ! -e $file ]] || regress+=("$(basename "$file" .sql)")
done
for file in "$root"/test/t/*.pl; do
    [ ! -e "$file" ] || tap+=("$(basename "$file" .pl)")
done
if $runnable; then
    [ ${#regress[@]} = 0 ] || run_step 'SQL regression' count_regress sql_regression "${regress[@]}" || true
    for name in "${tap[@]}"; do
        run_step "test/t/$name.pl" count_tap tap_test "$name" || true
    done
else
    report 'SQL regression' 0 0 0 ${#regress[@]}
    report 'TAP tests' 0 0 0 ${#tap[@]}
fi

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
