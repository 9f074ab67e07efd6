# bash completion of regshape: source this file, or put it into ~/.local/share/bash-completion/completions/regshape

_regshape() {
    # bash splits words at ':', '=' and '@': pieces without a blank between them are one word.
    local rest=${COMP_LINE:0:COMP_POINT} piece blanks at
    local -a words=()
    for ((at = 0; at <= COMP_CWORD; at++)); do
        blanks=${rest%%[![:blank:]]*}
        rest=${rest#"$blanks"}
        piece=${COMP_WORDS[at]}
        # The last piece may go on behind the cursor.
        ((at < COMP_CWORD)) || piece=$rest
        rest=${rest#"$piece"}
        if ((at == 0)) || [[ -n $blanks || ${#words[@]} -eq 0 ]]; then
            words+=("$piece")
        else
            words[${#words[@]} - 1]+=$piece
        fi
    done
    local current=${words[${#words[@]} - 1]} reply cut=
    # Only the part behind the last separator is replaced, except within quotes.
    if [[ $current != [\"\']* && $current =~ ^(.*[$COMP_WORDBREAKS]) ]]; then
        local mark=${BASH_REMATCH[1]}
        [[ ${mark: -1} == [:=@] ]] && cut=$mark
    fi
    # The program gets words without their quoting, and the answers are quoted as the word is.
    words=("${words[@]//[\\\"\']/}")
    COMPREPLY=()
    while IFS= read -r reply; do
        [[ $current == [\"\']* ]] || printf -v reply %q "$reply"
        COMPREPLY+=("${reply#"$cut"}")
    done < <(REGSHAPE_COMPLETE=bash _CLAP_COMPLETE_INDEX=$((${#words[@]} - 1)) "${words[0]/#\~/$HOME}" -- "${words[@]}" 2>/dev/null)
    if ((${#COMPREPLY[@]} == 1)) && [[ ${COMPREPLY[0]} == *[/:=@] ]]; then
        compopt -o nospace 2>/dev/null
    fi
}

complete -o nosort -F _regshape regshape 2>/dev/null || complete -F _regshape regshape
