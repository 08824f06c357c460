"""Training one model with several processes: cluster, rendezvous, collectives. Light zone."""
