"""Importing what Presidio brings along without opening a socket.

Presidio and spaCy import `requests` and with it urllib3, which binds a local socket when it is imported, to
see whether the machine speaks IPv6. Nothing is sent, but a process that may open no socket at all would be
stopped by it. So urllib3 is imported first, told meanwhile that Python itself has no IPv6, and told the
truth afterwards: it then asks for both kinds of address and uses the one that answers.
"""

from __future__ import annotations

import socket
import sys

PROBER = "urllib3"


def import_prober() -> None:
    """Import urllib3 without its probe, unless the program has imported it already."""
    if PROBER in sys.modules:
        return
    able = socket.has_ipv6
    socket.has_ipv6 = False
    try:
        import urllib3.util.connection as connection
    except ImportError:  # a Presidio that no longer needs it
        return
    finally:
        socket.has_ipv6 = able
    connection.HAS_IPV6 = able
