#!/bin/busybox sh
# PID 1 of a booted guest: makes it a host of the lab, then reaps. The kernel passes the parameters of its command
# line that it does not know as environment: LAB_NAME, LAB_WORK, LAB_UUID, LAB_NICS and LAB_OVERLAYS
# (comma-separated), LAB_MANAGEMENT_MAC, LAB_CEPH_MAC, LAB_CEPH (our address there, or empty).
#
# virtme's own init is not used: it runs systemd-tmpfiles, a full udev coldplug and root's login shell first,
# 25 s under TCG. busybox runs mkdir, mount and the like without executing anything, which is what takes time
# there (0.2 s a command); what must be the real program has its path.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8

/bin/busybox mount -t proc proc /proc # by its path: the shell finds its own applets through /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev # not the machine's by 9p: that has a /dev/kvm
mkdir -p /dev/pts /dev/shm /dev/hugepages
mount -t hugetlbfs hugetlbfs /dev/hugepages # libvirtd looks for it when it starts
mount -t devpts -o mode=620,gid=5 devpts /dev/pts
mount -t tmpfs -o mode=1777 shm /dev/shm
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs -o mode=755 run /run
mkdir -p /run/lock /run/user /run/exec /run/lab /run/keep

/sbin/modprobe -a overlay 9p virtio_net virtio_blk ext4 8021q bridge veth tun dummy
/sbin/modprobe bonding max_bonds=0 # else the module makes a bond0 by itself
mount -t 9p -o version=9p2000.L,trans=virtio,access=any,msize=512000 lab /run/lab

tell() { # how the machine learns of the end: empty if all went well
    echo "$1" >/run/lab/new
    mv /run/lab/new /run/lab/ready
}
exec >/run/lab/guest.log 2>&1 </dev/null
set -e
trap 'tell "guest.sh ended with $?"; sleep 5' EXIT

IFS=,
for directory in $LAB_OVERLAYS; do
    mkdir -p "/run/overlay/$directory/upper" "/run/overlay/$directory/work"
    chmod "$(stat -c %a "/$directory")" "/run/overlay/$directory/upper"
    mount -t overlay -o "lowerdir=/$directory,upperdir=/run/overlay/$directory/upper,workdir=/run/overlay/$directory/work" \
        lab "/$directory"
done
mkdir -p "$LAB_WORK"
mount -o bind /run/lab "$LAB_WORK"
mount -t ext4 /dev/vda /run/keep # the only disk there is

# The switch: the other ends of the cables, the management NIC, the SSH server. The host sees none of it.
unshare -n sleep 1000000000 &
switch=$!
until [ "$(readlink "/proc/$switch/ns/net")" != "$(readlink /proc/1/ns/net)" ]; do sleep 0.05; done
echo "$switch" >/run/switch.pid
nic_by_mac() {
    for link in /sys/class/net/*/address; do
        [ "$(cat "$link")" != "$1" ] || basename "${link%/address}"
    done
}
management=$(nic_by_mac "$LAB_MANAGEMENT_MAC")
/sbin/ip link set "$management" netns "$switch"
{
    echo "link set lo up"
    echo "link set $management up"
    echo "address add 10.0.2.15/24 dev $management"
    echo "link add switch type bridge stp_state 0 forward_delay 0 mcast_snooping 0"
    echo "link set switch mtu 9000 up"
    for nic in $LAB_NICS; do
        echo "link add name $nic mtu 9000 type veth peer name $nic netns 1"
        echo "link set $nic master switch up"
    done
} | nsenter -t "$switch" -n /sbin/ip -batch -
if [ -n "$LAB_CEPH" ]; then
    storage=$(nic_by_mac "$LAB_CEPH_MAC")
    [ "$storage" = ceph0 ] || /sbin/ip link set "$storage" name ceph0
    /sbin/ip address add "$LAB_CEPH/24" dev ceph0
    /sbin/ip link set ceph0 up
fi
unset IFS

# In a mount namespace of its own the server has its own root account: a home that holds the lab's key, and for a
# shell the script that runs requests, so that neither root's shell nor its profile is involved.
mkdir -p /run/ssh/.ssh
cp /run/lab/authorized_keys /run/ssh/.ssh/
cp /run/lab/guest-exec.sh /run/ssh/
chmod 755 /run/ssh/guest-exec.sh
chmod -R go-w /run/ssh
chmod 700 /run/ssh/.ssh
echo 'root:x:0:0:root:/run/ssh:/run/ssh/guest-exec.sh' >/run/ssh/passwd
echo /run/ssh/guest-exec.sh >/run/ssh/shells
nsenter -t "$switch" -n unshare -m /bin/busybox sh -c '
    mount -o bind /run/ssh/passwd /etc/passwd && mount -o bind /run/ssh/shells /etc/shells &&
    exec /usr/sbin/dropbear -s -j -k -m -r /run/lab/host_key -p 22 -P /run/dropbear.pid -W 262144'

# For what appears from now on (links, disks); what is there already needs no rule applied.
/lib/systemd/systemd-udevd --daemon
# What libvirtd out there found out about the emulators holds here too.
if [ -d /run/lab/capabilities ]; then
    mkdir -p /run/keep/var/cache/libvirt/qemu
    cp -r /run/lab/capabilities /run/keep/var/cache/libvirt/qemu/
fi
LAB_MODE=vm LAB_STATE=/run/keep sh /run/lab/host.sh
trap - EXIT
tell ""
# As PID 1 the shell reaps every orphan while it waits for its own child.
while :; do
    sleep 1000000000 &
    wait
done
