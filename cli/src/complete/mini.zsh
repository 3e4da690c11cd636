#compdef mini
# Completion of mini for zsh. In ~/.zshrc, behind compinit:  source <(mini completion zsh)
_mini() {
    local word help
    local -a whole begun
    while IFS=$'\t' read -r word help; do
        # What ends so goes on without a space.
        case $word in
            */|*:|*=|*,) begun+=("$word:$help") ;;
            *) whole+=("$word:$help") ;;
        esac
    done < <("${(Q)words[1]/#\~/$HOME}" __complete zsh -- "${(@Q)words[1,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)
    (( $#whole )) && _describe -V mini whole
    (( $#begun )) && _describe -V mini begun -S ''
}
# As a file in fpath it is called at once; sourced, it registers itself.
if [[ ${funcstack[1]} == _mini ]]; then
    _mini "$@"
else
    compdef _mini mini
fi
