"""What is true of each resource now, what happened, and who asked for hands off.

``reduce`` turns a plan and its outcomes into conditions (pure: the clock is an argument); ``store`` keeps them
below the state directory, so that ``get``, ``describe``, ``events`` and ``history`` answer without asking the host.
Nothing here decides anything: deleting the directory loses no resource (but forgets suspensions and history).
"""
