# Completion of mini for fish. In ~/.config/fish/config.fish:  mini completion fish | source
complete --command mini --no-files --keep-order --arguments '(mini __complete fish -- (commandline --current-process --tokenize --cut-at-cursor) (commandline --current-token --cut-at-cursor) 2>/dev/null)'
