"""A VNC client that does nothing but log in (RFC 6143, 7.1 and 7.2), for looking whether a password counts.

``python tests/rfb.py PORT PASSWORD`` prints ``none`` (no password is asked for), ``welcome`` or ``refused``. The answer
to the challenge is DES by the password with the bits of each byte turned round, which only ``openssl`` still offers.
"""

from __future__ import annotations

import socket
import subprocess
import sys

NONE, VNC = 1, 2  # security types


def answer(challenge: bytes, password: str) -> bytes:
    """What a client says that knows the password."""
    key = bytes(int(f"{byte:08b}"[::-1], 2) for byte in password.encode().ljust(8, b"\0"))
    argv = ["openssl", "enc", "-des-ecb", "-nopad", "-K", key.hex(), "-provider", "legacy", "-provider", "default"]
    return subprocess.run(argv, input=challenge, capture_output=True, check=True).stdout


def login(port: int, password: str) -> str:
    """What the console says to this password."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as line, line.makefile("rb") as reads:
        reads.read(12)
        line.sendall(b"RFB 003.008\n")
        offered = reads.read(reads.read(1)[0])
        if NONE in offered:
            return "none"
        line.sendall(bytes([VNC]))
        line.sendall(answer(reads.read(16), password))
        return "refused" if any(reads.read(4)) else "welcome"


if __name__ == "__main__":
    print(login(int(sys.argv[1]), sys.argv[2]))
