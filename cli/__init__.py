"""The command line: skins over the verbs of imgcls. Installed as imgcls.cli. Light zone: a verb is
imported when its command runs.
"""
