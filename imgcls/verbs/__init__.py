"""The commands as Python functions: one file and one public function per command. Light zone."""
