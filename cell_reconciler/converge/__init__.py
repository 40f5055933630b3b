"""Makes a plan true. The only package that writes to the host.

Theory. A step is asked whether it is already done, then done, then asked again (read back): the same plan may be
run twice, or stopped anywhere and run again. Steps of one resource run one after the other; independent resources
side by side. What is going on is written to the journal before it happens, for people and for the guard, never to
decide what to do: that is always read from the host itself.
"""
