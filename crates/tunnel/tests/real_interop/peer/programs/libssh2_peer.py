"""libssh2 (through ssh2-python) as a client of the interoperability table: `client`, then name=value words."""

import base64
import select
import socket
import sys

from ssh2.error_codes import LIBSSH2_ERROR_EAGAIN
from ssh2.session import LIBSSH2_SESSION_BLOCK_OUTBOUND, Session

WORDS = dict(word.split("=", 1) for word in sys.argv[2:])


def connect():
    stream = socket.create_connection(("127.0.0.1", int(WORDS["port"])))
    session = Session()
    session.handshake(stream)
    with open(WORDS["host_key"]) as file:
        wanted = base64.b64decode(file.read().split()[1])
    if session.hostkey()[0] != wanted:
        raise SystemExit("another host key")
    user, login = WORDS["user"], WORDS["login"]
    if login == "password":
        session.userauth_password(user, WORDS["password"])
    elif login == "keyboard-interactive":
        session.userauth_keyboardinteractive(user, WORDS["password"])
    else:
        public = WORDS.get("certificate", WORDS["key"] + ".pub")
        session.userauth_publickey_fromfile(user, WORDS["key"], "", public)
    channel = session.direct_tcpip_ex("interop.test", 7, "127.0.0.1", 1)
    service = socket.create_connection(("127.0.0.1", int(WORDS["service"])))
    session.set_blocking(False)
    service.setblocking(False)
    pump(session, stream, channel, service)
    # Closing a socket with unread bytes in it takes back what the other side has not got yet.
    stream.setblocking(True)
    while stream.recv(65536):
        pass


def pump(session, stream, channel, service):
    """Both ways in one thread: libssh2's sessions are for one thread each."""
    there, back = b"", b""
    from_service, from_channel = True, True
    eof_sent = False
    while from_service or from_channel or there or back or not eof_sent:
        moved = False
        if from_channel and len(back) < 1 << 20:
            count, data = channel.read(65536)
            if count > 0:
                back += data[:count]
                moved = True
            elif count == 0 and channel.eof():
                from_channel = False
                moved = True
            elif count < 0 and count != LIBSSH2_ERROR_EAGAIN:
                raise SystemExit(f"read failed: {count}")
        if from_service and len(there) < 1 << 20:
            try:
                data = service.recv(65536)
                there += data
                from_service = bool(data)
                moved = True
            except BlockingIOError:
                pass
        if there:
            # Some of it may be written before the rest has to wait.
            code, written = channel.write(there)
            there = there[written:]
            moved = moved or written > 0
            if code < 0 and code != LIBSSH2_ERROR_EAGAIN:
                raise SystemExit(f"write failed: {code}")
        if not from_service and not there and not eof_sent:
            eof_sent = channel.send_eof() != LIBSSH2_ERROR_EAGAIN
            moved = moved or eof_sent
        if back:
            try:
                back = back[service.send(back) :]
                moved = True
            except BlockingIOError:
                pass
        if not from_channel and not back:
            try:
                service.shutdown(socket.SHUT_WR)
            except OSError:
                pass
        if not moved:
            directions = session.block_directions()
            reads = [stream] + ([service] if from_service else [])
            writes = [stream] if directions & LIBSSH2_SESSION_BLOCK_OUTBOUND else []
            select.select(reads, writes + ([service] if back else []), [], 1)


connect()
