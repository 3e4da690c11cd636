# Completion of mini for bash. In ~/.bashrc:  source <(mini completion bash)
_mini() {
    local mini="${1/#\~/$HOME}"
    mapfile -t COMPREPLY < <("$mini" __complete bash -- "${COMP_LINE:0:COMP_POINT}" "$COMP_WORDBREAKS" 2>/dev/null)
}
# mini says where a space follows, and in which order words stand; before 4.4, bash sorts them.
complete -o bashdefault -o nospace -o nosort -F _mini mini 2>/dev/null || complete -o bashdefault -o nospace -F _mini mini
