"""The commands, a file each: one public function that does what the command does, for Python
callers too. Light zone.
"""
