"""Gives a lab's libvirt the cgroup controller cpu, of which labs have none: a part of this machine's, for it alone.

The part is a cgroup of its own, and libvirtd is started anew in a cgroup namespace that begins there. It goes with
``take``; what is left of it after a crash is empty, and harms nobody.
"""

from __future__ import annotations

from cell_reconciler.lab import Lab

# Mount the hierarchy, make our part, and go on in a namespace where nothing else is to be seen. With v2 no process may
# be where the controllers are handed out, so libvirtd goes one deeper.
SCRIPT = r"""
set -eu
umask 022
if grep -q '^cpu[[:space:]]*0[[:space:]]' /proc/cgroups || ! grep -q '^cpu[[:space:]]' /proc/cgroups; then
    kind=cgroup2 options=rw at=/sys/fs/cgroup
else
    kind=cgroup options=cpu at=/sys/fs/cgroup/cpu
    mount -t tmpfs -o mode=755 cgroups /sys/fs/cgroup
    mkdir $at
fi
whole=$(mktemp -d)
mount -t $kind -o $options cgroup "$whole"
[ $kind = cgroup ] || echo +cpu >"$whole/cgroup.subtree_control"
mkdir -p "$whole/$1"
echo $$ >"$whole/$1/cgroup.procs"
umount "$whole"
rmdir "$whole"
sed -i 's/^cgroup_controllers = .*/cgroup_controllers = ["cpu"]/' /etc/libvirt/qemu.conf
kill "$(cat /run/libvirtd.pid)"
while [ -e /run/libvirtd.pid ]; do sleep 0.05; done
exec unshare --cgroup sh -euc '
    [ "$1" = cgroup ] || ! mountpoint -q "$3" || umount "$3"
    mount -t "$1" -o "$2" cgroup "$3"
    if [ "$1" = cgroup2 ]; then mkdir "$3/daemon"; echo $$ >"$3/daemon/cgroup.procs"; fi
    exec libvirtd -d -f /etc/libvirt/libvirtd.conf
' sh $kind $options $at
"""
CLEAN = r"""
mounted=$(mktemp -d)
mount -t cgroup -o cpu cgroup $mounted 2>/dev/null || mount -t cgroup2 cgroup $mounted
kill "$(cat /run/libvirtd.pid)"
while read -r process; do
    [ "$process" = $$ ] || kill -9 "$process" || true
done <<END
$(find "$mounted/$1" -name cgroup.procs -exec cat {} +)
END
for try in 1 2 3 4 5 6 7 8 9 10; do
    find "$mounted/$1" -depth -type d -exec rmdir {} ';' 2>/dev/null
    [ -e "$mounted/$1" ] || break
    sleep 0.2
done
umount $mounted
rmdir $mounted
"""


def give(lab: Lab) -> None:
    """Raises AssertionError with what the shell said when the machine has no such controller to give."""
    _run(lab, SCRIPT)


def take(lab: Lab) -> None:
    """Remove it, and end what runs in it: libvirtd and every VM."""
    _run(lab, CLEAN)


def _run(lab: Lab, script: str) -> None:
    done = lab.exec(["sh", "-c", script, "sh", f"cell-{lab.name}"], timeout=60)
    assert done.returncode == 0, done.stderr
