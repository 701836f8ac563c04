"""paramiko as a peer of the interoperability table: `client` or `server`, then name=value words."""

import socket
import sys
import threading

import paramiko

WORDS = dict(word.split("=", 1) for word in sys.argv[2:])
FOLDER = WORDS["folder"]
TYPES = {
    "ed25519": paramiko.Ed25519Key,
    "ecdsa256": paramiko.ECDSAKey,
    "ecdsa384": paramiko.ECDSAKey,
    "ecdsa521": paramiko.ECDSAKey,
    "rsa": paramiko.RSAKey,
}


def load(path):
    return TYPES[path.rsplit("-", 1)[1]].from_private_key_file(path)


def copy(source, target, end):
    while data := source.recv(65536):
        target.sendall(data)
    end()


def pump(channel, stream):
    """Both ways at once; the end of one half is passed on and ends nothing else."""
    back = threading.Thread(target=copy, args=(stream, channel, channel.shutdown_write))
    back.start()
    copy(channel, stream, lambda: stream.shutdown(socket.SHUT_WR))
    back.join()
    channel.close()
    stream.close()


def set_rekey(transport):
    if "rekey" in WORDS:
        transport.packetizer.REKEY_BYTES = int(WORDS["rekey"])


class Server(paramiko.ServerInterface):
    def __init__(self, transport):
        self.transport = transport
        with open(FOLDER + "/authorized_keys") as file:
            lines = [line.split() for line in file]
        self.keys = {words[1] for words in lines if words[0] != "cert-authority"}

    def get_allowed_auths(self, username):
        return "publickey,password,keyboard-interactive"

    def check_auth_publickey(self, username, key):
        good = key.get_base64() in self.keys
        return paramiko.AUTH_SUCCESSFUL if good else paramiko.AUTH_FAILED

    def check_auth_password(self, username, password):
        good = password == WORDS["password"]
        return paramiko.AUTH_SUCCESSFUL if good else paramiko.AUTH_FAILED

    def check_auth_interactive(self, username, submethods):
        return paramiko.InteractiveQuery("", "", ("Password: ", False))

    def check_auth_interactive_response(self, responses):
        good = responses == [WORDS["password"]]
        return paramiko.AUTH_SUCCESSFUL if good else paramiko.AUTH_FAILED

    def check_channel_direct_tcpip_request(self, number, origin, target):
        threading.Thread(target=self.dial, args=(number, target), daemon=True).start()
        return paramiko.OPEN_SUCCEEDED

    def dial(self, number, target):
        # There is no other way to the channel that was asked for than to accept in turn.
        channel = self.transport.accept(30)
        pump(channel, socket.create_connection(target))

    def check_port_forward_request(self, address, port):
        listener = socket.create_server((address, port))
        threading.Thread(target=self.visitors, args=(listener,), daemon=True).start()
        return listener.getsockname()[1]

    def visitors(self, listener):
        while True:
            stream, origin = listener.accept()
            channel = self.transport.open_forwarded_tcpip_channel(
                origin, listener.getsockname()
            )
            threading.Thread(target=pump, args=(channel, stream), daemon=True).start()


def serve():
    listener = socket.create_server(("127.0.0.1", 0))
    print("listening", listener.getsockname()[1], flush=True)
    keys = [load(FOLDER + "/host-" + name) for name in TYPES]
    while True:
        stream, _ = listener.accept()
        transport = paramiko.Transport(stream)
        set_rekey(transport)
        for key in keys:
            transport.add_server_key(key)
        threading.Thread(target=start, args=(transport,), daemon=True).start()


def start(transport):
    try:
        transport.start_server(server=Server(transport))
    except (paramiko.SSHException, EOFError) as error:
        print(error, file=sys.stderr, flush=True)


def connect():
    transport = paramiko.Transport(("127.0.0.1", int(WORDS["port"])))
    set_rekey(transport)
    transport.start_client()
    with open(WORDS["host_key"]) as file:
        wanted = file.read().split()[1]
    if transport.get_remote_server_key().get_base64() != wanted:
        raise SystemExit("another host key")
    user, login = WORDS["user"], WORDS["login"]
    if login == "password":
        transport.auth_password(user, WORDS["password"], fallback=False)
    elif login == "keyboard-interactive":
        answers = lambda title, instructions, prompts: [WORDS["password"] for _ in prompts]
        transport.auth_interactive(user, answers)
    else:
        key = load(WORDS["key"])
        if "certificate" in WORDS:
            key.load_certificate(WORDS["certificate"])
        transport.auth_publickey(user, key)
    channel = transport.open_channel("direct-tcpip", ("interop.test", 7), ("127.0.0.1", 1))
    pump(channel, socket.create_connection(("127.0.0.1", int(WORDS["service"]))))
    # Closing a socket with unread bytes in it takes back what the other side has not got yet.
    transport.join()


if sys.argv[1] == "server":
    serve()
else:
    connect()
