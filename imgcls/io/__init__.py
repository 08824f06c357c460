"""Input and output: files, terminal, signals, threads, downloads, archives. Light zone."""
