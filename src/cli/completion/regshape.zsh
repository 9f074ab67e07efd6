#compdef regshape
# zsh completion of regshape: source this file, or put it as _regshape into a directory of $fpath

_regshape() {
    local line value
    local -a line_words plain plain_shown open open_shown
    line_words=("${(@Q)words[1,CURRENT - 1]}" "${(Q)PREFIX}")
    for line in "${(@f)$(REGSHAPE_COMPLETE=zsh _CLAP_COMPLETE_INDEX=$((CURRENT - 1)) ${(Q)words[1]} -- "${line_words[@]}" 2>/dev/null)}"; do
        [[ -n $line ]] || continue
        value=${line%%$'\t'*}
        # The next part of a path or a reference follows without a blank.
        if [[ $value == *[/:=@] ]]; then
            open+=("$value")
            open_shown+=("${line/$'\t'/  -- }")
        else
            plain+=("$value")
            plain_shown+=("${line/$'\t'/  -- }")
        fi
    done
    ((${#plain})) && compadd -l -V values -d plain_shown -a plain
    ((${#open})) && compadd -l -V values -S '' -d open_shown -a open
    return $((${#plain} + ${#open} == 0))
}

if [[ ${funcstack[1]} == _regshape ]]; then
    _regshape "$@"
else
    compdef _regshape regshape
fi
