"""What the kinds that are network links have in common. Not a kind itself: Bond and Bridge build on it.

The theory: a link is *ours* by its group, which the kernel sets in the moment of creation, and by the mark in its
alias, which follows. A group of ours with an empty alias is a creation that was cut short, so it is ours too. What
rides on a link (addresses of the host, taps of VMs, foreign devices) decides how dangerous it is to touch it, and is
read from one observation of all links (``graph``). ``actions`` are the few things one can do to a link.
"""
