"""Several processes that train one model: who they are, how they meet, what they agree on. Light
zone.
"""
