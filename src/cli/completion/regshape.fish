# fish completion of regshape: source this file, or put it into ~/.config/fish/completions/regshape.fish

function __regshape_complete
    set -l words (commandline --current-process --tokenize --cut-at-cursor)
    set -l current (commandline --current-token --cut-at-cursor)
    # The program gets the word without its quoting.
    set -l plain (string unescape -- "$current")
    or set plain $current
    REGSHAPE_COMPLETE=fish regshape -- $words "$plain"
end

complete --command regshape --keep-order --exclusive --arguments '(__regshape_complete)'
