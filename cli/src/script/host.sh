# there COMMAND…: among the container's mounts, with the host's power over them; the tools are still the host's.
there() {
    nsenter --mount="/proc/$pid/ns/mnt" -- "$@"
}

# bind FLAG SOURCE PLACE: shows a directory or a file in another place of the container's mounts.
bind() {
    if [ -d "$2" ]; then mkdir -p "$3"; else : >"$3"; fi
    there mount -n "--$1" "$2" "$3"
}

# shifted FLAG SOURCE PLACE: the same, with the container's ids: the view is shifted, the files stay. mount(8) knows how from
# util-linux 2.39 on; for an older one the three system calls are made by perl, which every Debian has.
shifted() {
    if [ -d "$2" ]; then mkdir -p "$3"; else : >"$3"; fi
    version=$(mount --version)
    version=${version#*util-linux }
    version=${version%%[!0-9.]*}
    minor=${version#*.}
    if [ "${version%%.*}" -gt 2 ] || [ "${minor%%.*}" -ge 39 ]; then
        there mount -n "--$1" -o "X-mount.idmap=/proc/$pid/ns/user" "$2" "$3"
    else
        # open_tree(2) with OPEN_TREE_CLONE, mount_setattr(2) with MOUNT_ATTR_IDMAP, move_mount(2).
        there perl -e '
            my ($flag, $source, $place, $users, $here) = (@ARGV, "");
            my $tree = $flag eq "rbind" ? 0x8000 : 0;
            my $fd = syscall(428, -100, $source, 0x80001 | $tree);
            $fd >= 0 or die "open_tree($source): $!\n";
            open(my $ns, "<", $users) or die "open($users): $!\n";
            my $attributes = pack("QQQQ", 0x100000, 0, 0, fileno($ns));
            syscall(442, $fd, $here, 0x1000 | $tree, $attributes, 32) == 0 or die "mount_setattr($source, IDMAP): $!\n";
            syscall(429, $fd, $here, -100, $place, 4) == 0 or die "move_mount($place): $!\n";
        ' "$1" "$2" "$3" "/proc/$pid/ns/user"
    fi
}
