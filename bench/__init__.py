"""Speed, as ratios within one run: what is compared is measured in turns, and medians are
reported.
"""
