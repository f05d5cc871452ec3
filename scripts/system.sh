# Debian systems in folders, entered by chroot: they share this machine's kernel and network, nothing else.
# Sourced by bash scripts that have set -euo pipefail; needs root.
#
#   make_system SUITE FOLDER    a new one
#   enter FOLDER                mounts what programs expect; the commands below work in this system from now on
#   inside COMMAND...           runs a command in it, as root
#   leave                       unmounts; to be called at the end, come what may
#
# The mirror, a proxy and certificates are those of this machine's apt; MIRROR=url names another mirror.

say() { printf '==> %s\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# false: no system can be made here; says why.
systems_can_be_made() {
    [ "$(id -u)" = 0 ] || { echo "it takes root to make a chroot"; return 1; }
    command -v debootstrap >/dev/null || apt-get -qy install debootstrap >/dev/null 2>&1 ||
        { echo "debootstrap is missing"; return 1; }
}

# Lines of "url suite component" for a Debian suite. A suite that this machine's apt does not have is looked for
# where it finds the one that it has.
sources_of() { # SUITE
    if [ -n "${MIRROR:-}" ]; then
        echo "$MIRROR $1 main"
        return
    fi
    apt-get indextargets --format '$(ORIGIN) $(CODENAME) $(REPO_URI) $(COMPONENT)' 'Created-By: Packages' |
        awk -v wanted="$1" '
            $1 == "Debian" && $4 == "main" {
                own = $2; sub(/-.*/, "", own)
                suite = $2; sub(/^[a-z]+/, wanted, suite)
                # Only a release has updates.
                if (suite == wanted || wanted == "bookworm" || wanted == "trixie") print $3, suite, $4
            }' | sort -u
}

make_system() { # SUITE FOLDER
    local sources mirror script
    sources=$(sources_of "$1")
    mirror=$(awk -v suite="$1" '$2 == suite { print $1; exit }' <<<"$sources")
    [ -n "$mirror" ] || { echo "this machine's apt knows no Debian: set MIRROR" >&2; return 1; }
    # A debootstrap older than the suite makes it as it makes sid.
    script=/usr/share/debootstrap/scripts/$1
    [ -e "$script" ] || script=/usr/share/debootstrap/scripts/sid
    mkdir -p "$2"
    debootstrap --variant=minbase "$1" "$2" "$mirror" "$script" >"$2.log" 2>&1 ||
        { tail -n 5 "$2.log" >&2; echo "debootstrap of $1 failed, all of its output is in $2.log" >&2; return 1; }
    rm "$2.log"
    sed 's/^/deb /' <<<"$sources" >"$2/etc/apt/sources.list"
    apt-config dump | grep -E '^Acquire::https?::' >"$2/etc/apt/apt.conf.d/80host" || true
    # A mirror may be a snapshot of some day.
    echo 'Acquire::Check-Valid-Until "false";' >"$2/etc/apt/apt.conf.d/81snapshot"
    if [[ $mirror = https:* ]]; then
        mkdir -p "$2/etc/ssl/certs" && cp /etc/ssl/certs/ca-certificates.crt "$2/etc/ssl/certs/"
    fi
    cp /etc/hosts "$2/etc/hosts"
}

system= mounts=()

enter() { # FOLDER
    system=$1
    attach /proc -t proc proc
    attach /dev/pts -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts
    attach /dev/shm -t tmpfs -o mode=1777 tmpfs
    if [ -n "${QUANTVEC_DATA:-}" ]; then
        attach /srv/data --bind "$(cd "$QUANTVEC_DATA" && pwd)"
        mount -o remount,bind,ro "$system/srv/data"
    fi
}

attach() { # FOLDER MOUNT-ARGUMENTS...
    local folder=$system$1
    shift
    mkdir -p "$folder"
    mount "$@" "$folder"
    mounts=("$folder" "${mounts[@]}")
}

leave() {
    local folder
    for folder in "${mounts[@]}"; do
        umount "$folder" || umount -l "$folder" || die "$folder is still mounted: unmount it"
    done
    mounts=()
}

inside() {
    env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM="${TERM:-dumb}" LANG=C.UTF-8 \
        ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} \
        ${QUANTVEC_DATA:+QUANTVEC_DATA=/srv/data} DEBIAN_FRONTEND=noninteractive chroot "$system" "$@"
}
