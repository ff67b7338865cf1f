"""Runs a program in a network of its own, which has the loopback device and nothing else:

    unshare --net python alone.py PROGRAM [ARGUMENT...]

Brings up the device, then becomes the program.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import sys

GET_FLAGS = 0x8913
SET_FLAGS = 0x8914
UP = 1
REQUEST = "16sh22x"
"""`struct ifreq` of Linux: the name of a device and its flags."""


def main(program: list[str]) -> None:
    """Never returns."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack(REQUEST, b"lo", 0)
        name, flags = struct.unpack(REQUEST, fcntl.ioctl(any_socket, GET_FLAGS, request))
        fcntl.ioctl(any_socket, SET_FLAGS, struct.pack(REQUEST, name, flags | UP))
    os.execvp(program[0], program)


if __name__ == "__main__":
    main(sys.argv[1:])
