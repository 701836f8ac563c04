"""Does what it is told with asyncssh or paramiko: one JSON object a line in, one out.

Told of by `python.rs`, which keeps one of it for each library.
"""

import asyncio
import hashlib
import json
import socket
import sys
import threading


def pump(source, sink):
    """Copies one way, and passes the end on."""
    try:
        while True:
            data = source.recv(65536)
            if not data:
                break
            sink.sendall(data)
    except OSError:
        pass
    try:
        if hasattr(sink, "shutdown_write"):
            sink.shutdown_write()
        else:
            sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


class Paramiko:
    """The library of that name; every operation blocks."""

    def __init__(self):
        import paramiko

        self.paramiko = paramiko
        self.transports = {}

    def connect(self, order):
        paramiko = self.paramiko
        known = order["host_key"].split()
        source = (order.get("from", ""), 0)
        near = socket.create_connection((order["host"], order["port"]), source_address=source)
        transport = paramiko.Transport(near)
        options = transport.get_security_options()
        for name in ("kex", "ciphers", "digests"):
            if order.get(name):
                setattr(options, name, [order[name]])
        if order.get("host_key_algorithm"):
            options.key_types = [order["host_key_algorithm"]]
        key = None
        if order.get("key"):
            key = paramiko.PKey.from_path(order["key"])
            if order.get("certificate"):
                key.load_certificate(order["certificate"])
        transport.start_client(timeout=20)
        shown = transport.get_remote_server_key()
        if order.get("host_key_algorithm", known[0]) == known[0] and shown.get_base64() != known[1]:
            transport.close()
            return {"refused": "host key"}
        try:
            if key is not None:
                transport.auth_publickey(order["user"], key)
            elif order.get("password"):
                transport.auth_password(order["user"], order["password"])
            else:
                transport.auth_none(order["user"])
        except paramiko.SSHException as error:
            transport.close()
            return {"refused": "login", "words": str(error)}
        if order.get("rekey"):
            transport.packetizer.REKEY_BYTES = order["rekey"]
        if order.get("keepalive"):
            transport.set_keepalive(order["keepalive"])
        identifier = len(self.transports)
        self.transports[identifier] = transport
        return {"id": identifier}

    def listen(self, order):
        transport = self.transports[order["id"]]
        target = tuple(order["target"])

        def handler(channel, origin, server):
            def serve():
                try:
                    near = socket.create_connection(target)
                except OSError:
                    channel.close()
                    return
                other = threading.Thread(target=pump, args=(near, channel), daemon=True)
                other.start()
                pump(channel, near)
                other.join()
                channel.close()
                near.close()

            threading.Thread(target=serve, daemon=True).start()

        try:
            port = transport.request_port_forward(order["host"], order["port"], handler)
        except self.paramiko.SSHException as error:
            return {"refused": "forward", "words": str(error)}
        return {"port": port}

    def cancel(self, order):
        transport = self.transports[order["id"]]
        transport.cancel_port_forward(order["host"], order["port"])
        return {}

    def open(self, order):
        transport = self.transports[order["id"]]
        try:
            channel = transport.open_channel(
                "direct-tcpip", (order["host"], order["port"]), ("127.0.0.1", 4711), timeout=20
            )
        except self.paramiko.SSHException as error:
            return {"refused": "open", "words": str(error)}
        data, ends = payload(order["size"]), not order.get("open")

        def write():
            channel.sendall(data)
            if ends:
                channel.shutdown_write()

        writer = threading.Thread(target=write)
        writer.start()
        digest, count = hashlib.sha256(), 0
        while ends or count < len(data):
            part = channel.recv(65536)
            if not part:
                break
            digest.update(part)
            count += len(part)
        writer.join()
        channel.close()
        return {"same": digest.digest() == hashlib.sha256(data).digest(), "count": count}

    def session(self, order):
        transport = self.transports[order["id"]]
        channel = transport.open_session(timeout=20)
        try:
            if order.get("terminal"):
                channel.get_pty()
            if order.get("environment"):
                channel.set_environment_variable(*order["environment"])
            if order.get("command"):
                channel.exec_command(order["command"])
            elif order.get("subsystem"):
                channel.invoke_subsystem(order["subsystem"])
            else:
                channel.invoke_shell()
        except self.paramiko.SSHException as error:
            return {"refused": "session", "words": str(error)}
        channel.settimeout(20)
        if order.get("input"):
            channel.sendall(order["input"].encode())
        if order.get("until"):
            text = b""
            while order["until"].encode() not in text:
                part = channel.recv(4096)
                if not part:
                    break
                text += part
            channel.close()
            return {"text": text.decode(errors="replace")}
        if not order.get("open"):
            channel.shutdown_write()
        status = channel.recv_exit_status()
        text = b""
        while channel.recv_stderr_ready() or channel.recv_ready():
            text += channel.recv_stderr(4096) if channel.recv_stderr_ready() else channel.recv(4096)
        channel.close()
        return {"status": status, "text": text.decode(errors="replace")}

    def alive(self, order):
        return {"alive": self.transports[order["id"]].is_active()}

    def ask(self, order):
        transport = self.transports[order["id"]]
        answer = transport.global_request(order["name"], wait=True)
        return {"granted": answer is not None}

    def close(self, order):
        self.transports[order["id"]].close()
        return {}


class Asyncssh:
    """The library of that name, on a loop of its own."""

    def __init__(self):
        import asyncssh

        self.asyncssh = asyncssh
        self.connections = {}
        self.listeners = {}
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def __getattr__(self, name):
        operation = getattr(type(self), "do_" + name)

        def run(order):
            future = asyncio.run_coroutine_threadsafe(operation(self, order), self.loop)
            return future.result(60)

        return run

    async def do_connect(self, order):
        asyncssh = self.asyncssh
        known = asyncssh.import_known_hosts(f"[{order['host']}]:{order['port']} {order['host_key']}")
        options = {"known_hosts": known, "username": order["user"], "agent_path": None, "config": None}
        keys = order.get("key")
        if keys and order.get("certificate"):
            keys = (keys, order["certificate"])
        options["client_keys"] = [keys] if keys else None
        options["password"] = order.get("password")
        for name, option in (
            ("kex", "kex_algs"),
            ("ciphers", "encryption_algs"),
            ("digests", "mac_algs"),
            ("host_key_algorithm", "server_host_key_algs"),
        ):
            if order.get(name):
                options[option] = [order[name]]
        if order.get("host_key_algorithm"):
            options["known_hosts"] = None
        if order.get("from"):
            options["local_addr"] = (order["from"], 0)
        if order.get("rekey"):
            options["rekey_bytes"] = order["rekey"]
        if order.get("keepalive"):
            options["keepalive_interval"] = order["keepalive"]
        try:
            connection = await asyncssh.connect(order["host"], order["port"], **options)
        except asyncssh.HostKeyNotVerifiable as error:
            return {"refused": "host key", "words": str(error)}
        except asyncssh.PermissionDenied as error:
            return {"refused": "login", "words": str(error)}
        except asyncssh.KeyExchangeFailed as error:
            return {"refused": "key exchange", "words": str(error)}
        identifier = len(self.connections)
        self.connections[identifier] = connection
        return {"id": identifier}

    async def do_listen(self, order):
        connection = self.connections[order["id"]]
        try:
            if order.get("path"):
                listener = await connection.forward_remote_path(order["path"], order["target_path"])
                self.listeners[order["id"], order["path"], 0] = listener
                return {"port": 0}
            listener = await connection.forward_remote_port(
                order["host"], order["port"], *order["target"]
            )
        except self.asyncssh.ChannelListenError as error:
            return {"refused": "forward", "words": str(error)}
        port = listener.get_port()
        self.listeners[order["id"], order["host"], port] = listener
        return {"port": port}

    async def do_listen_all(self, order):
        """Asks for several at once, without waiting for a reply between them."""
        asked = [
            self.do_listen({**order, "host": host, "port": port}) for host, port in order["binds"]
        ]
        answers = await asyncio.gather(*asked)
        return {"answers": [answer.get("port", 0) for answer in answers]}

    async def do_cancel(self, order):
        listener = self.listeners.pop((order["id"], order["host"], order["port"]))
        listener.close()
        await listener.wait_closed()
        return {}

    async def do_open(self, order):
        connection = self.connections[order["id"]]
        try:
            reader, writer = await connection.open_connection(
                order["host"], order["port"], encoding=None
            )
        except self.asyncssh.ChannelOpenError as error:
            return {"refused": "open", "words": str(error)}
        data = payload(order["size"])

        async def write():
            writer.write(data)
            if not order.get("open"):
                writer.write_eof()

        async def read():
            """Until the end, or all that was sent is back; readexactly() wants it all in the window at once."""
            parts, count = [], 0
            while not order.get("open") or count < len(data):
                part = await reader.read(65536)
                if not part:
                    break
                parts.append(part)
                count += len(part)
            return b"".join(parts)

        got, _ = await asyncio.gather(read(), write())
        writer.close()
        return {"same": got == data, "count": len(got)}

    async def do_session(self, order):
        connection = self.connections[order["id"]]
        options = {"encoding": "utf-8", "errors": "replace"}
        if order.get("terminal"):
            options["term_type"] = "xterm"
        if order.get("environment"):
            options["env"] = dict([order["environment"]])
        if order.get("subsystem"):
            options["subsystem"] = order["subsystem"]
        if order.get("agent"):
            options["agent_forwarding"] = True
        try:
            process = await connection.create_process(order.get("command"), **options)
        except self.asyncssh.ChannelOpenError as error:
            return {"refused": "session", "words": str(error)}
        if order.get("until"):
            text = ""
            while order["until"] not in text:
                part = await asyncio.wait_for(process.stdout.read(4096), 20)
                if not part:
                    break
                text += part
            process.close()
            return {"text": text}
        if order.get("input"):
            process.stdin.write(order["input"])
        if not order.get("open"):
            process.stdin.write_eof()
        done = await asyncio.wait_for(process.wait(), 20)
        return {"status": done.exit_status, "text": done.stderr + done.stdout}

    async def do_alive(self, order):
        return {"alive": not self.connections[order["id"]].is_closed()}

    async def do_close(self, order):
        connection = self.connections[order["id"]]
        connection.abort()
        await connection.wait_closed()
        return {}


def payload(size):
    """Bytes that look like nothing else, the same each time."""
    block = hashlib.sha256(b"adit").digest() * 2048
    return (block * (size // len(block) + 1))[:size]


def main():
    library = {"asyncssh": Asyncssh, "paramiko": Paramiko}[sys.argv[1]]()
    for line in sys.stdin:
        order = json.loads(line)
        try:
            answer = getattr(library, order["do"])(order)
        except Exception as error:  # Whatever it is, the case says it.
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


main()
