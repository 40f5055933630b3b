#!/bin/sh
# Makes the place it runs in a KVM host: own /etc/libvirt, /var/lib/libvirt, /run and so on, hostname, libvirtd.
# Run as root in the namespaces of the host (LAB_MODE=namespace) or in the booted guest (LAB_MODE=vm, by busybox).
# Arguments come by environment: LAB_MODE, LAB_NAME, LAB_WORK (the lab's directory), LAB_UUID (host_uuid),
# LAB_CEPH (not empty: there is a cluster), LAB_STATE (directory of what a host keeps over a power cut).
set -eu
umask 022

# In namespaces the file system is the machine's. What the host must be able to create is overlaid, so that
# not even a mount point is made on the machine.
private_file_system() {
    exec 9<"$LAB_WORK"
    scratch=$LAB_WORK/scratch
    mkdir -p "$scratch"
    mount -t tmpfs -o mode=755 lab "$scratch"
    for name in etc var/lib var/log var/cache; do
        mkdir -p "$scratch/$name/upper" "$scratch/$name/work"
        mount -t overlay -o "lowerdir=/$name,upperdir=$scratch/$name/upper,workdir=$scratch/$name/work" lab "/$name"
    done
    mount -t tmpfs -o mode=755 run /run
    mkdir -p /run/lock /run/user
    mount -t sysfs sysfs /sys # of this network namespace: /sys/class/net shows its links
    # The lab's directory itself, should it lie below one of those: by handle, since the path is covered now.
    mkdir -p "$LAB_WORK"
    mount --no-canonicalize --bind /proc/self/fd/9 "$LAB_WORK"
    exec 9<&-
}

# What libvirt and cell-reconciler read and write; kept in LAB_STATE.
own_directories() {
    if [ ! -d "$LAB_STATE/etc" ]; then
        lib=$LAB_STATE/var/lib/libvirt
        mkdir -p "$LAB_STATE/etc/libvirt" "$lib/qemu" "$lib/images" "$lib/boot" "$lib/dnsmasq"
        cp -a /etc/libvirt/nwfilter "$LAB_STATE/etc/libvirt/" 2>/dev/null || true # the filters libvirt ships
    fi
    for directory in etc/libvirt etc/ceph etc/cell-reconciler \
        var/lib/libvirt var/lib/cell-reconciler var/log/libvirt var/cache/libvirt; do
        mkdir -p "$LAB_STATE/$directory" "/$directory"
        mount -o bind "$LAB_STATE/$directory" "/$directory"
    done
    if [ -n "$LAB_CEPH" ]; then
        cp "$LAB_WORK/ceph/ceph.conf" "$LAB_WORK/ceph/ceph.client.admin.keyring" /etc/ceph/
    fi
    mkdir -p /run/libvirt /run/lock
}

configuration() {
    # host_uuid: libvirt refuses to migrate between hosts of the same one.
    cat >/etc/libvirt/libvirtd.conf <<CONF
host_uuid = "$LAB_UUID"
auth_unix_ro = "none"
auth_unix_rw = "none"
log_outputs = "3:file:/var/log/libvirt/libvirtd.log"
CONF
    # No cgroups, no labels, no own mount namespace for qemu: none of them is to be had in a namespace.
    cat >/etc/libvirt/qemu.conf <<CONF
user = "root"
group = "root"
security_driver = "none"
namespaces = []
cgroup_controllers = []
remember_owner = 0
CONF
    : >/etc/libvirt/virtlogd.conf
    hostname "$LAB_NAME"
    echo "$LAB_NAME" >"$LAB_STATE/hostname"
    printf '127.0.0.1 localhost\n127.0.1.1 %s\n::1 localhost\n' "$LAB_NAME" >"$LAB_STATE/hosts"
    # libvirtd looks up its built-in default user even when another is set; only libvirt-daemon-system makes it.
    for file in passwd group; do cp "/etc/$file" "$LAB_STATE/$file"; done
    getent group libvirt-qemu >/dev/null || echo 'libvirt-qemu:x:64055:' >>"$LAB_STATE/group"
    getent passwd libvirt-qemu >/dev/null ||
        echo 'libvirt-qemu:x:64055:64055::/:/usr/sbin/nologin' >>"$LAB_STATE/passwd"
    for file in hostname hosts passwd group; do
        mount -o bind "$LAB_STATE/$file" "/etc/$file"
    done
}

[ "$LAB_MODE" != namespace ] || private_file_system
own_directories
configuration
ip link set lo up
virtlogd -d
# Returns once the sockets are there.
libvirtd -d -f /etc/libvirt/libvirtd.conf
