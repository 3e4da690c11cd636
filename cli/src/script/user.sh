# entry FILE FIELD VALUE: the first line of a passwd or group file whose field is that.
entry() {
    field=$2 value=$3 awk -F: '
        { sub(/^[ \t]+/, ""); sub(/[ \t\r]+$/, "") }
        !/^#/ && $ENVIRON["field"] == ENVIRON["value"] "" { print; exit }
    ' "$1"
}

# own FILE: a file of the container, or nothing.
own() {
    if place "$root" "$1" look && [ -f "$at" ]; then echo "$at"; else echo /dev/null; fi
}

# group_of NAME: a group by name or number, called $found.
group_of() {
    case $1 in
    *[!0-9]*)
        found=$(entry "$group" 1 "$1" | cut -d: -f3)
        [ -n "$found" ] || die "unable to find group $1: no matching entries in group file"
        ;;
    *) found=$1 ;;
    esac
}

# look_up USER[:GROUP]: sets uid, gid, groups and home, as docker understands them.
look_up() {
    who=${1%%:*} name='' uid='' gid=0 groups='' home=/
    passwd=$(own /etc/passwd) group=$(own /etc/group)
    case $who in
    *[!0-9]*)
        line=$(entry "$passwd" 1 "$who")
        [ -n "$line" ] || die "unable to find user $who: no matching entries in passwd file"
        ;;
    *)
        line=$(entry "$passwd" 3 "$who")
        uid=$who
        ;;
    esac
    if [ -n "$line" ]; then
        IFS=: read -r name _ number gid _ home _ <<LINE
$line
LINE
        uid=${uid:-$number} gid=${gid:-0} home=${home:-/}
    fi
    case $1 in
    *:*)
        group_of "${1#*:}"
        gid=$found
        ;;
    *)
        [ -z "$name" ] || groups=$(name=$name awk -F: '
            { sub(/^[ \t]+/, ""); sub(/[ \t\r]+$/, "") }
            !/^#/ && index("," $4 ",", "," ENVIRON["name"] ",") { printf "%s%s", comma, $3; comma = "," }
        ' "$group")
        ;;
    esac
}

# also GROUP: one group more.
also() {
    group_of "$1"
    case ,$groups, in
    *,"$found",*) ;;
    *) groups=${groups:+$groups,}$found ;;
    esac
}
