die() {
    echo "mini script: $*" >&2
    exit 125
}

# place TOP PATH KIND: finds PATH below TOP and calls it $at. Links lead where they would if TOP were /, never out of it
# (openat2(2) does this with RESOLVE_IN_ROOT). What is missing is made, as a directory or a file; KIND look makes nothing.
place() {
    at=$1 rest=$2 kind=$3 links=0
    while [ -n "$rest" ]; do
        name=${rest%%/*}
        case $rest in
        */*) rest=${rest#*/} ;;
        *) rest= ;;
        esac
        case $name in
        '' | .) continue ;;
        ..)
            [ "$at" = "$1" ] || at=${at%/*}
            continue
            ;;
        esac
        if [ -L "$at/$name" ]; then
            links=$((links + 1))
            [ "$links" -le 40 ] || die "$2: too many links"
            link=$(readlink "$at/$name")
            case $link in
            /*) at=$1 ;;
            esac
            rest=$link/$rest
            continue
        fi
        at=$at/$name
        [ ! -e "$at" ] || continue
        case $kind in
        look) return 1 ;;
        file) [ -z "$rest" ] && : >"$at" || mkdir -m 755 "$at" ;;
        *) mkdir -m 755 "$at" ;;
        esac
    done
}

# kernel PATH: the same for a place of the kernel's own: no link of the image may lead elsewhere.
kernel() {
    place "$root" "$1" directory
    [ "$at" = "$root$1" ] || die "$1 is a link: what is written there must not end in a fake"
}

# more OPTIONS MOUNT: these options too; one mount alone is changed, not what else shows the same files.
# more_below OPTIONS MOUNT: the same for every mount of the tree that begins there. What a mount has already must be said again.
more() {
    change "$1" "$2" alone
}

more_below() {
    change "$1" "$2" below
}

change() {
    while read -r _ _ _ _ point has _; do
        case $point in
        *\\*) point=$(printf %b "$(echo "$point" | sed 's/\\/\\0/g')") ;;
        esac
        case $point in
        "$2") ;;
        "$2"/*) [ "$3" = below ] || continue ;;
        *) continue ;;
        esac
        mount -n -o "remount,bind,${has%,idmapped},$1" "$point"
    done <<MOUNTS
$(cat /proc/self/mountinfo)
MOUNTS
}

# limit NAME SOFT HARD: a limit of this process and of those to come; a hard one that may not be raised stays.
limit() {
    prlimit --pid $$ "--$1=$2:$3" 2>/dev/null || {
        most=$(prlimit --pid $$ --noheadings --raw --output HARD "--$1")
        case $2 in
        unlimited) prlimit --pid $$ "--$1=$most:$most" ;;
        *) [ "$most" = unlimited ] || [ "$2" -le "$most" ] && prlimit --pid $$ "--$1=$2:$most" || prlimit --pid $$ "--$1=$most:$most" ;;
        esac
    }
}
