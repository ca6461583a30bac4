# Becomes PID 1 of a machine: builds its root out of an overlay and starts systemd in it.
# Usage: sh boot.sh DIRECTORY LOWER COMMAND...
# DIRECTORY is the machine's (upper/, work/, root/, boot_id); LOWER is overlayfs's lowerdir list;
# COMMAND runs systemd with fewer capabilities.
# Runs in mount, uts, ipc, cgroup, pid and network namespaces of its own; what systemd expects to
# find there is in https://systemd.io/CONTAINER_INTERFACE.
set -eu
dir=$1 lower=$2
shift 2

# /proc is still the lab's: these are the number that the lab knows the machine's PID 1 by, and its
# start time, which tells it from a later process of that number (proc_pid_stat(5), fields 1 and 22).
identity() { echo "$1 ${22}"; }
read -r stat </proc/self/stat
started=$(identity $stat)

mount -t overlay overlay "$dir/root" -o \
    "lowerdir=$lower,upperdir=$dir/upper,workdir=$dir/work,redirect_dir=off,metacopy=off,index=off"
cd "$dir/root"

# Kernel settings belong to the host, but for the network's, of which the namespace has its own.
mount -t proc proc proc -o nosuid,nodev,noexec
mount --bind proc/sys/net "$dir/net"
mount --bind proc/sys proc/sys -o ro
mount --bind "$dir/net" proc/sys/net
mount --bind "$dir/boot_id" proc/sys/kernel/random/boot_id -o ro
[ ! -e proc/sysrq-trigger ] || mount --bind proc/sysrq-trigger proc/sysrq-trigger -o ro
umount "$dir/net"

# A read-only /sys tells systemd-networkd that no udev will announce the interfaces. cloud-init
# takes a machine for EC2's if hypervisor/uuid begins with ec2 (AWS's "Identify EC2 instances").
mount -t tmpfs tmpfs sys -o mode=755
mkdir sys/hypervisor mnt/sysfs
mount -t sysfs sysfs mnt/sysfs -o ro,nosuid,nodev,noexec
for part in block bus class dev devices firmware fs kernel module power; do
    [ -d "mnt/sysfs/$part" ] || continue
    mkdir "sys/$part"
    mount --bind "mnt/sysfs/$part" "sys/$part"
done
umount mnt/sysfs
rmdir mnt/sysfs
cp "$dir/hypervisor_uuid" sys/hypervisor/uuid
mount -t cgroup2 cgroup2 sys/fs/cgroup -o nosuid,nodev,noexec
mount -o remount,bind,ro sys

mount -t tmpfs tmpfs dev -o mode=755,nosuid
for node in null zero full random urandom tty; do
    : >"dev/$node"
    mount --bind "/dev/$node" "dev/$node"
done
mkdir dev/pts dev/shm
mount -t devpts devpts dev/pts -o newinstance,ptmxmode=0666,mode=620,gid=5
mount -t tmpfs tmpfs dev/shm -o mode=1777,nosuid,nodev
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ln -s /proc/self/fd/0 dev/stdin
ln -s /proc/self/fd/1 dev/stdout
ln -s /proc/self/fd/2 dev/stderr
mount -t tmpfs tmpfs run -o mode=755,nosuid,nodev

echo "$started" >"$dir/pid.partial"
mv "$dir/pid.partial" "$dir/pid"
pivot_root . mnt
umount -l mnt

exec env -i container=lab PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    "$@" /lib/systemd/systemd --log-target=journal
