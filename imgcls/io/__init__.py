"""Files, terminal, signals, threads, downloads, archives: everything outside the process. Light
zone.
"""
