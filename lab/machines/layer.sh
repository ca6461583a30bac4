# Installs packages on top of a base image, as an overlay's upper directory.
# Usage: sh layer.sh BASE WORK SOURCES PACKAGE...
# Runs in mount, pid and uts namespaces of its own, so that nothing stays mounted or running.
# WORK/root gets the layer, WORK/debs the packages that were downloaded.
set -eu
base=$1 work=$2 sources=$3
shift 3
root=$work/merged
mkdir -p "$work/root" "$work/overlay" "$work/debs/partial" "$root"
hostname localhost

# Without redirect_dir and metacopy the layer holds whole files that any overlay can use.
mount -t overlay overlay "$root" -o \
    "lowerdir=$base,upperdir=$work/root,workdir=$work/overlay,redirect_dir=off,metacopy=off,index=off"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mount -t tmpfs tmpfs "$root/var/lib/apt/lists"
mount -t tmpfs tmpfs "$root/var/cache/apt"
mkdir "$root/var/cache/apt/archives"
mount --bind "$work/debs" "$root/var/cache/apt/archives"
mkdir -p "$root/run/systemd/resolve"
cp /etc/resolv.conf "$root/run/systemd/resolve/stub-resolv.conf"
cp "$sources" "$root/run/build.list"

# Services start at a machine's boot, not here (policy-rc.d in Debian's invoke-rc.d(8)).
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"

apt() {
    chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 \
        DEBIAN_FRONTEND=noninteractive ${http_proxy:+http_proxy=$http_proxy} apt-get --quiet \
        -o Dir::Etc::SourceList=/run/build.list -o Dir::Etc::SourceParts=/dev/null \
        -o Dpkg::Options::=--force-unsafe-io -o APT::Keep-Downloaded-Packages=true "$@"
}
apt update
apt --yes install "$@"
rm "$root/usr/sbin/policy-rc.d"
# A machine's own user data would install these packages late in its boot, after its files are
# written: what they enable must not start before that.
find "$work/root/etc/systemd/system" -path '*.wants/*' -type l -delete
rm -f "$root/var/log/apt/"* "$root/var/log/dpkg.log" "$root/var/log/alternatives.log"
