"""asyncssh as a peer of the interoperability table: `client` or `server`, then name=value words."""

import asyncio
import glob
import sys

import asyncssh
from asyncssh.encryption import get_encryption_algs
from asyncssh.kex import get_kex_algs
from asyncssh.mac import get_mac_algs

WORDS = dict(word.split("=", 1) for word in sys.argv[2:])
FOLDER = WORDS["folder"]
# Whatever it can do, also what it would not do by itself.
ALGORITHMS = {
    "kex_algs": [name.decode() for name in get_kex_algs()],
    "encryption_algs": [name.decode() for name in get_encryption_algs()],
    "mac_algs": [name.decode() for name in get_mac_algs()],
    "compression_algs": None,
}
if "rekey" in WORDS:
    ALGORITHMS["rekey_bytes"] = int(WORDS["rekey"])


async def copy(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


class Server(asyncssh.SSHServer):
    def begin_auth(self, username):
        return True

    def password_auth_supported(self):
        return True

    def validate_password(self, username, password):
        return password == WORDS["password"]

    def kbdint_auth_supported(self):
        return True

    def get_kbdint_challenge(self, username, lang, submethods):
        return "", "", "", [("Password: ", False)]

    def validate_kbdint_response(self, username, responses):
        return responses == [WORDS["password"]]

    def connection_requested(self, *ends):
        return True

    def server_requested(self, host, port):
        return True


async def serve():
    listener = await asyncssh.create_server(
        Server,
        "127.0.0.1",
        0,
        server_host_keys=sorted(
            path for path in glob.glob(FOLDER + "/host-*") if "." not in path.rsplit("/", 1)[1]
        ),
        authorized_client_keys=FOLDER + "/authorized_keys",
        **ALGORITHMS,
    )
    print("listening", listener.get_port(), flush=True)
    await asyncio.Event().wait()


async def connect():
    keys = []
    if "certificate" in WORDS:
        keys = [(WORDS["key"], WORDS["certificate"])]
    elif "key" in WORDS:
        # Read first: by its path alone, a certificate beside it would be taken along.
        keys = [asyncssh.read_private_key(WORDS["key"])]
    host_key = asyncssh.read_public_key(WORDS["host_key"])
    authority = asyncssh.read_public_key(WORDS["authority"])
    connection = await asyncssh.connect(
        "127.0.0.1",
        int(WORDS["port"]),
        config=None,
        username=WORDS["user"],
        known_hosts=([host_key], [authority], []),
        # Nothing given means those of the ssh-agent and of the home, `None` means none.
        client_keys=() if "agent" in WORDS else keys or None,
        agent_path=WORDS.get("agent"),
        password=WORDS["password"],
        **ALGORITHMS,
    )
    async with connection:
        reader, writer = await connection.open_connection("interop.test", 7)
        near_reader, near_writer = await asyncio.open_connection(
            "127.0.0.1", int(WORDS["service"])
        )
        await asyncio.gather(copy(reader, near_writer), copy(near_reader, writer))
        await writer.wait_closed()


asyncio.run(serve() if sys.argv[1] == "server" else connect())
