"""The search of `imgcls tune`: its space, study, trials and report. Light zone."""
