#compdef netctl
# zsh completion of netctl: netctl itself knows its words, and asks the server for names of objects.
_netctl() {
    local line
    local -a found
    for line in "${(@f)$(command netctl __complete zsh -- "${(@)words[1,CURRENT-1]}" "$PREFIX" 2>/dev/null)}"; do
        if [[ $line == :files ]]; then
            _files
            return
        fi
        [[ -n $line ]] && found+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
    done
    (( $#found )) && _describe -V netctl found
}
# Sourced, or loaded by compinit from a folder of $fpath.
if [[ ${funcstack[1]} == _netctl ]]; then
    _netctl "$@"
else
    compdef _netctl netctl
fi
