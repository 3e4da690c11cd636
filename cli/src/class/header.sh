#!/bin/sh
# Lessons about containers for a machine without a network: mini, images and texts in one file.
#
#   sh FILE [DIRECTORY]
#
# unpacks them into DIRECTORY (mini-class where none is given). As root it loads the images too, and tries whether the
# machine is fit for the lessons. It needs sh, tar, sha256sum and mkdir, and nothing else. The archive begins below the last line.
set -eu

sum=0000000000000000000000000000000000000000000000000000000000000000
mark='#### the archive begins here'

# Carries a command out on what is below the last line: read stops behind the end of a line, and nowhere else.
archive() {
    {
        while IFS= read -r line; do
            [ "$line" != "$mark" ] || break
        done
        "$@"
    } <"$file"
}

is_root() {
    while read -r name _ effective _; do
        [ "$name" != Uid: ] || break
    done </proc/self/status
    [ "$effective" = 0 ]
}

main() {
    file=$0
    if [ ! -f "$file" ]; then
        echo "mini-class: give the file by its name: sh FILE [DIRECTORY]" >&2
        exit 1
    fi
    case ${1-} in
    -*)
        echo "usage: sh $file [DIRECTORY]" >&2
        exit 1
        ;;
    esac
    directory=${1:-mini-class}
    found=$(archive sha256sum)
    if [ "${found%% *}" != "$sum" ]; then
        echo "$file: this file is damaged: copy it again (sha256 ${found%% *}, not $sum)" >&2
        exit 1
    fi
    mkdir -p "$directory"
    archive tar -xf - -C "$directory"
    echo "unpacked into $directory"
    if ! is_root; then
        echo "Type next, as root:"
        echo "    sh $file $directory"
        exit 0
    fi
    "$directory/mini" load -q -i "$directory/images.tar"
    fit=0
    "$directory/mini" class check || fit=$?
    echo
    echo "Type next, as root:"
    echo "    $directory/mini learn"
    exit "$fit"
}

main "$@"
exit
#### the archive begins here
