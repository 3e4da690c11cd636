# Makes the layers of an image out of Debian packages, as tar archives 1.tar to 8.tar. Arguments: an empty directory, a suite, a mirror.
#
# It is run in a mount and process namespace of its own: what is mounted here ends with it, however it ends.
set -eu
cd "$1"
suite=$2 mirror=$3
number=0

# A command in a chroot with no settings of the machine's.
inside() {
    chroot tree env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive LC_ALL=C ${http_proxy:+http_proxy=$http_proxy} sh -ec "$1"
}

# One layer: what a command changes in the tree of those before it.
layer() {
    number=$((number + 1))
    upper=$PWD/$number
    mkdir "$upper" work
    mount -t overlay -o "lowerdir=$lower,upperdir=$upper,workdir=$PWD/work" tree tree
    mount -t proc proc tree/proc
    mount --bind lists tree/var/lib/apt/lists
    inside "$1"
    umount tree/proc tree/var/lib/apt/lists tree
    rm -r work
    archive
}

# Archives a layer. What overlay marks as gone, a device 0:0, is an empty file `.wh.NAME` there.
archive() {
    lower=$upper${lower:+:$lower}
    (
        cd "$upper"
        find . -type c -printf '%P\n' | while read -r path; do
            [ "$(stat -c %t:%T "$path")" != 0:0 ] || echo "$path"
        done >"../$number.gone"
        sort="--sort=name --numeric-owner --format=posix --pax-option=delete=atime,delete=ctime"
        tar $sort --exclude-from="../$number.gone" --no-wildcards --anchored -cf "../$number.tar" -- *
    )
    mkdir gone
    while read -r path; do
        mkdir -p "gone/$(dirname "$path")"
        : >"gone/$(dirname "$path")/.wh.$(basename "$path")"
    done <"$number.gone"
    (cd gone && find . -type f -printf '%P\n' | tar --append -f "../$number.tar" --numeric-owner -T -)
    rm -r gone
}

install='apt-get install --yes --no-install-recommends --quiet'

lower=
number=1 upper=$PWD/1
debootstrap --variant=minbase "$suite" "$upper" "$mirror"
# What apt knows of the mirror is in no layer.
mv "$upper/var/lib/apt/lists" lists
mkdir "$upper/var/lib/apt/lists" tree
rm -f "$upper"/var/cache/apt/archives/*.deb
archive
layer "apt-get update --quiet; $install perl; apt-get clean"
layer "$install python3; apt-get clean"
layer "$install python3-pip; apt-get clean"
layer "$install gcc make libc6-dev; apt-get clean"
layer "$install git; apt-get clean"
layer 'rm -r /usr/share/doc/* /usr/share/man/* /usr/share/info/*'
# 50 MB of small files.
layer 'cd /usr/lib/python3; cd ../python3.*; find . -name "*.py" -size -64k >/tmp/list; for copy in 1 2 3 4 5 6; do
    mkdir -p /opt/copies/$copy; tar -cT /tmp/list | tar -xC /opt/copies/$copy
done; rm /tmp/list'
