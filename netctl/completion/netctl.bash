# bash completion of netctl: netctl itself knows its words, and asks the server for names of objects.
_netctl() {
    local line program
    # The program that is being typed, by path too; through a shell alias, the one on PATH.
    program=$(type -P -- "${COMP_WORDS[0]}") || program=netctl
    COMPREPLY=()
    compopt +o default 2>/dev/null
    while IFS= read -r line; do
        if [[ $line == :files ]]; then
            COMPREPLY=()
            compopt -o default 2>/dev/null
            return
        fi
        COMPREPLY+=("${line%%$'\t'*}")
    done < <(command "$program" __complete bash -- "${COMP_WORDS[@]:0:COMP_CWORD+1}" 2>/dev/null)
}
complete -F _netctl netctl
