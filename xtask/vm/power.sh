# What happens on the machine whose power fails (see src/vm/power.rs), after the variables that are set there:
# MINI the command, KEPT and LOADED archives of images, REGISTRY a directory that looks like a registry, PROGRAM the digest of
# /bin/busybox in all images, END the first page behind the file system, BOOT how often it was booted before.
set -u
export MINI_ROOT=/disk/mini MINI_RUN_ROOT=/run/mini-of-this-boot
PULLED=127.0.0.1:5000/pulled:1

wrong() {
    echo "WRONG: $*"
    exit 1
}

mini() { "$MINI" "$@"; }

# Everything that is listed runs, and has every byte of its files: those of busybox, and those of the layers above it.
runs() {
    mini run --rm --network none "$1" sh -c "echo '$PROGRAM  /bin/busybox' | sha256sum -c -s &&
        for sums in /data*/sums; do [ ! -e \"\$sums\" ] || (cd \"\${sums%/sums}\" && sha256sum -c -s sums) || exit 1; done" ||
        wrong "the image $1 is listed and does not run as it should"
    echo "$1 runs, with all of its files"
}

load() { mini load -q -i "$LOADED" > /dev/null || wrong "the archive cannot be loaded"; }
pull() { mini pull -q "$PULLED" > /dev/null || wrong "the image cannot be pulled"; }
forget() { mini rmi loaded:1 "$PULLED" > /dev/null || wrong "the images cannot be removed"; }

mkdir -p /disk
mount -t ext4 /dev/vda /disk || wrong "the disk cannot be mounted"
busybox httpd -p 127.0.0.1:5000 -h "$REGISTRY" || wrong "no registry"

if [ "$BOOT" = 0 ]; then
    mini load -q -i "$KEPT" || wrong "the archive of busybox cannot be loaded"
    mini create --name lasting --network none busybox:latest echo it lasts > /dev/null || wrong "no container"
    echo "a cycle begins"
    load
    pull
    echo "a cycle ends"
    runs loaded:1
    runs "$PULLED"
    forget
    # The proof that this power loss is one: of two pages behind the file system one is flushed, the other is not.
    sync
    echo flushed | dd of=/dev/vda bs=4096 seek="$END" conv=sync,notrunc,fsync 2> /dev/null
    echo unflushed | dd of=/dev/vda bs=4096 seek=$((END + 1)) conv=sync,notrunc oflag=direct 2> /dev/null
    echo "power off"
    sleep 1000
fi

page() { dd if=/dev/vda bs=4096 skip="$1" count=1 2> /dev/null | tr -d '\0'; }
if [ "$BOOT" = 1 ]; then
    [ "$(page "$END")" = flushed ] || wrong "the disk has lost what was flushed"
    [ "$(page $((END + 1)))" = "" ] || wrong "the disk has kept what was not flushed: this is no power loss"
    echo "the disk has what was flushed, and nothing else"
fi

listed=$(mini images --format '{{.Repository}}:{{.Tag}}') || wrong "the images cannot be listed"
case "$listed" in *busybox:latest*) ;; *) wrong "the image that was complete is gone" ;; esac
for image in $listed; do runs "$image"; done
[ "$(mini start -a lasting)" = "it lasts" ] || wrong "the container that was made before does not start"
mini system check --repair || wrong "not everything can be mended"
mini system check --deep > /run/findings || { cat /run/findings; wrong "something is left after it was mended"; }
load
pull
runs loaded:1
runs "$PULLED"
forget
mini system check || wrong "something is left of what was removed"

[ "$CUTS" = yes ] || exit 0
echo "power fails soon"
while :; do
    if [ $((BOOT % 2)) = 0 ]; then load && pull; else pull && load; fi
    forget
done
