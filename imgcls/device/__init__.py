"""The GPUs of this machine, and the device that a process uses. Light zone."""
