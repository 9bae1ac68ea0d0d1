"""What is not on the list is refused before a packet leaves, whoever asks. The guard stays, so each case is a process of its own."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

from cappuccino.errors import InputError
from cappuccino.trading.hosts import allowed_hosts

ROOT = pathlib.Path(__file__).parents[2]

_START = """
import socket, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from cappuccino.trading import hosts

class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "2"); self.end_headers(); self.wfile.write(b"ok")
    do_POST = do_GET
    def log_message(self, *args): pass

server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
threading.Thread(target=server.serve_forever, daemon=True).start()
port = server.server_port
hosts.install(hosts.allowed_hosts())

def refused(call):
    try:
        call()
    except hosts.HostRefused as error:
        return str(error)
    raise SystemExit("it was let through")
"""


def run(program: str) -> str:
    """What a guarded process prints; it must end well."""
    ran = subprocess.run(
        [sys.executable, "-c", _START + program],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_this_machine_is_reached_through_every_client() -> None:
    out = run(
        "import requests, urllib.request\n"
        "print(requests.get(f'http://127.0.0.1:{port}/').text)\n"
        "print(requests.get(f'http://localhost:{port}/').text)\n"
        "print(urllib.request.urlopen(f'http://127.0.0.1:{port}/').read().decode())\n"
        "import apprise\n"
        "a = apprise.Apprise(); a.add(f'json://127.0.0.1:{port}/'); print(bool(a.notify('x')))\n"
        "one, two = socket.socketpair(); one.sendall(b'x'); print(two.recv(1).decode())\n"
    )
    assert out.split() == ["ok", "ok", "ok", "True", "x"]


@pytest.mark.parametrize(
    "call",
    [
        "requests.get('https://api.alpaca.markets/v2/account', timeout=5)",
        "requests.get('http://192.0.2.1/', timeout=5)",
        "requests.get('http://[2001:db8::1]/', timeout=5)",
        "urllib.request.urlopen('https://example.com/', timeout=5)",
        "urllib.request.urlopen('http://192.0.2.1/', timeout=5)",
        "socket.create_connection(('192.0.2.1', 80), timeout=5)",
        "socket.socket().connect(('example.com', 80))",
        "socket.socket().connect_ex(('192.0.2.1', 80))",
        "socket.socket(socket.AF_INET6).connect(('::ffff:192.0.2.1', 80))",
        "socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 53))",
        "socket.gethostbyname('example.com')",
        "socket.gethostbyaddr('192.0.2.1')",
        "DeadlineSession(5).get('https://api.alpaca.markets/')",
    ],
)
def test_another_name_or_address_is_refused(call: str) -> None:
    out = run(
        f"import requests, urllib.request\nfrom cappuccino.deadline import DeadlineSession\nprint(refused(lambda: {call}))\n"
    )
    assert out.startswith("connection to ")
    assert "refused" in out


def test_apprise_is_refused_too_and_sends_nothing() -> None:
    out = run(
        "import apprise, logging\nlogging.getLogger('apprise').disabled = True\n"
        "asked = []\nsys.addaudithook(lambda event, args: asked.append(args[1]) if event == 'socket.connect' else None)\n"
        "a = apprise.Apprise(); a.add('json://192.0.2.1/')\nprint(bool(a.notify('x')), asked)\n"
    )
    assert out.split("\n")[0].startswith("False")
    assert out.strip() == "False []"


def test_it_holds_on_threads_and_cannot_be_lifted_by_putting_the_functions_back() -> None:
    out = run(
        "import _socket\nfound = []\n"
        "def ask():\n    found.append(refused(lambda: _socket.socket().connect(('192.0.2.1', 80))))\n"
        "t = threading.Thread(target=ask); t.start(); t.join(); print(len(found))\n"
    )
    assert out.strip() == "1"


def test_the_addresses_of_an_allowed_name_pass_and_no_others() -> None:
    """A resolver of our own stands for DNS: what it answers for an allowed name may be connected to."""
    out = run(
        "guard = hosts._guard\n"
        "resolver = lambda host, *args, **options: [(socket.AF_INET, socket.SOCK_STREAM, 6, '', ('192.0.2.7', 443))]\n"
        "guard._resolve = resolver\n"
        "socket.getaddrinfo('paper-api.alpaca.markets', 443)\n"
        "sock = socket.socket(); sock.settimeout(0.01)\n"
        "try:\n    sock.connect(('192.0.2.7', 443))\nexcept OSError as error:\n    print('tried', type(error).__name__)\n"
        "print(refused(lambda: socket.socket().connect(('192.0.2.8', 443))))\n"
    )
    assert out.startswith("tried")
    assert "192.0.2.8 refused" in out


def test_the_live_host_is_allowed_by_live_alone() -> None:
    assert "api.alpaca.markets" not in allowed_hosts()
    assert "api.alpaca.markets" in allowed_hosts(live=True)
    for more in ({"urls": ["https://api.alpaca.markets/x"]}, {"named": ["API.alpaca.markets."]}):
        with pytest.raises(InputError, match="real money"):
            allowed_hosts(**more)
