# fish completion of netctl: netctl itself knows its words, and asks the server for names of objects.
function __netctl_complete
    set -l current (commandline -ct)
    for line in (command netctl __complete fish -- (commandline -opc) "$current" 2>/dev/null)
        if test "$line" = :files
            __fish_complete_path "$current"
            return
        end
        printf '%s\n' $line
    end
end
complete -c netctl -f -a '(__netctl_complete)'
