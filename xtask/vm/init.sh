#!/bin/busybox sh
# The first program of the virtual machine (see src/vm/): makes a machine with cgroup v2 only, whose root is the host's root
# as it is, with a layer in memory above it that takes what is written. Then /command runs there.
#
# Lines that begin with `@@` are for xtask, which reads the console.
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
while read -r module; do insmod "$module" || echo "no module $module"; done < /modules

mkdir /host /memory /root
mount -t virtiofs -o ro host /host || { echo "the host's root did not come"; poweroff -f; }
mount -t tmpfs -o mode=755 memory /memory
mkdir /memory/upper /memory/work
mount -t overlay -o lowerdir=/host,upperdir=/memory/upper,workdir=/memory/work root /root || poweroff -f

cd /root || poweroff -f
mkdir -p proc sys dev run var/lib/mini
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t devtmpfs dev dev
mkdir dev/pts dev/shm dev/mqueue
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts dev/pts
mount -t tmpfs -o mode=1777 shm dev/shm
mount -t mqueue mqueue dev/mqueue
for n in 0 1 2; do ln -s /proc/self/fd/$n dev/$(echo stdin stdout stderr | cut -d ' ' -f $((n + 1))); done
ln -s /proc/self/fd dev/fd
mount -t tmpfs -o mode=755 run run
# What containers write must lie on a file system that can be an overlay's upper layer; an overlay cannot.
mount -t tmpfs -o mode=755 mini var/lib/mini
# As systemd mounts it: with nsdelegate a cgroup namespace is a boundary.
mount -t cgroup2 -o nsdelegate cgroup2 sys/fs/cgroup
ip link set lo up
hostname vm

cp /command run/vm-command
cat > run/vm-first <<'X'
export HOME=/root TERM=dumb PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
cd /
echo "@@ begin"
sh /run/vm-command < /dev/null
echo "@@ end $?"
echo o > /proc/sysrq-trigger
# The power goes off behind our back; the first process must not end before.
read -r _ < /dev/ttyS0
X
exec switch_root /root /bin/sh /run/vm-first
