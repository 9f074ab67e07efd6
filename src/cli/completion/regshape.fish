# fish completion of regshape: source this file, or put it into ~/.config/fish/completions/regshape.fish

complete --command regshape --keep-order --exclusive --arguments '(REGSHAPE_COMPLETE=fish regshape -- (commandline --current-process --tokenize --cut-at-cursor) (commandline --current-token --cut-at-cursor))'
