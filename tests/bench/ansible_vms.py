"""New VMs through Ansible's ``community.libvirt``, beside ``cellctl apply``: from an empty host, and when all is there.

Ansible is told the best that its users know: a local connection with pipelining, no facts, one task for all definitions
and one for all starts, the same XML from a template. It is installed into a virtual environment of its own in the
user's cache, once, since the project itself does not need it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.bench.measure import CELLCTL, row, seconds, settle
from tests.bench.specs import write
from tests.bench.vms import COUNT, virsh, wipe

ANSIBLE = "ansible>=12,<13"  # the newest for Python 3.11; it brings community.libvirt 2.0
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "2"))
CONFIG = """[defaults]
gathering = explicit
interpreter_python = {python}
localhost_warning = False
[connection]
pipelining = True
"""
PLAYBOOK = """- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - name: define
      community.libvirt.virt:
        command: define
        xml: "{{ lookup('template', 'vm.xml.j2') }}"
      loop: "{{ vms }}"
      loop_control: {label: "{{ item.name }}"}
    - name: start
      community.libvirt.virt:
        name: "{{ item.name }}"
        state: running
      loop: "{{ vms }}"
      loop_control: {label: "{{ item.name }}"}
"""


def environment() -> Path:
    """The virtual environment with Ansible, made where it is not there yet. Raises CalledProcessError."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    place = cache / "cell-reconciler" / "bench-ansible"
    if not (place / "bin" / "ansible-playbook").exists():
        print(f"(installing {ANSIBLE} into {place})", flush=True)
        # libvirt's binding is the distribution's own
        subprocess.run(["/usr/bin/python3", "-m", "venv", "--system-site-packages", place], check=True)
        subprocess.run([place / "bin" / "pip", "install", "--quiet", ANSIBLE, "lxml>=5,<7"], check=True)
    return place


def main(directory: Path, place: Path) -> None:
    apply = [*CELLCTL, "--host", "bench", "apply", "-f", str(directory), "--yes"]
    write(directory, 0)
    subprocess.run(apply, check=True, stdout=subprocess.DEVNULL)  # the bridge is there before
    write(directory, COUNT, run="Always")
    book = directory.with_name("playbook")
    book.mkdir()
    (book / "ansible.cfg").write_text(CONFIG.format(python=place / "bin" / "python"))
    (book / "play.yml").write_text(PLAYBOOK)
    os.environ["ANSIBLE_CONFIG"] = str(book / "ansible.cfg")
    ours = again = theirs = theirs_again = float("inf")
    for _ in range(ROUNDS):
        ours = min(ours, seconds(apply, 1))
        settle()
        again = min(again, seconds(apply, 3))
        play = [str(place / "bin" / "ansible-playbook"), str(book / "play.yml"), "-e", f"@{book / 'vms.yml'}"]
        _template(book)
        wipe()
        theirs = min(theirs, seconds(play, 1))
        settle()
        theirs_again = min(theirs_again, seconds(play, 1))
        _all_run()
        wipe()
    what = f"{COUNT} new VMs, defined and started"
    row(what, f"{ours:.2f} s", f"Ansible {theirs:.1f} s", f"2 x faster, is {theirs / ours:.1f} x")
    what = "... again, nothing to do"
    row(what, f"{again:.2f} s", f"Ansible {theirs_again:.1f} s", f"50 x faster, is {theirs_again / again:.0f} x")


def _template(book: Path) -> None:
    """The template that makes of each VM what it is now, and what differs between them."""
    names = virsh("list", "--all", "--name").split()
    lines = []
    for name in names:
        text = virsh("dumpxml", "--inactive", name)
        uuid, mac = (re.findall(pattern, text)[0] for pattern in ("<uuid>(.*?)<", "<mac address='(.*?)'"))
        index = int(name.rpartition("-")[2])
        lines.append(f'- {{name: {name}, uuid: "{uuid}", mac: "{mac}", index: {index}}}')
        if name == names[0]:
            text = re.sub(r"<metadata>.*</metadata>\s*", "", text, flags=re.S)
            text = text.replace(f">{name}<", ">{{ item.name }}<").replace(uuid, "{{ item.uuid }}")
            text = text.replace(mac, "{{ item.mac }}").replace(f"guest {index}<", "guest {{ item.index }}<")
            (book / "vm.xml.j2").write_text(text)
    (book / "vms.yml").write_text("vms:\n" + "\n".join(lines) + "\n")


def _all_run() -> None:
    """Both have to do the same: raises RuntimeError when Ansible did less."""
    running = len(virsh("list", "--name").split())
    if running != COUNT:
        raise RuntimeError(f"{running} of {COUNT} VMs run after Ansible's play")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
