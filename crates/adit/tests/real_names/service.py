"""A service for tests: `service.py PORT`. What it does is said by the path of what it is asked."""
import asyncio, hashlib, sys

GO = asyncio.Event()


async def body(reader, fields):
    digest, count = hashlib.sha256(), 0
    if fields.get("transfer-encoding") == "chunked":
        while size := int((await reader.readline()).split(b";")[0], 16):
            data = await reader.readexactly(size)
            digest.update(data)
            count += size
            await reader.readexactly(2)
        while (await reader.readline()).strip():
            pass
    else:
        left = int(fields.get("content-length", 0))
        while left:
            data = await reader.read(min(left, 1 << 18))
            if not data:
                raise EOFError
            digest.update(data)
            count += len(data)
            left -= len(data)
    return f"{count} {digest.hexdigest()}\n".encode()


async def answer(reader, writer):
    while line := (await reader.readline()).decode():
        method, target, _ = line.split()
        names, fields = [], {}
        while text := (await reader.readline()).decode().strip():
            name, value = text.split(":", 1)
            names.append(name.lower())
            fields[name.lower()] = value.strip()

        def head(status, *more):
            lines = [f"HTTP/1.1 {status}", *more, "", ""]
            writer.write("\r\n".join(lines).encode())

        if target == "/sse":
            GO.clear()
            head("200 OK", "Content-Type: text/event-stream")
            writer.write(b"data: one\n\n")
            await writer.drain()
            await GO.wait()
            writer.write(b"data: two\n\n")
            await writer.drain()
            break
        if fields.get("upgrade") == "echo/1":
            head("101 Switching Protocols", "Connection: Upgrade", "Upgrade: echo/1")
            while data := await reader.read(4096):
                writer.write(data)
                await writer.drain()
            break
        if target.startswith("/down/"):
            left = int(target[6:])
            head("200 OK", f"Content-Length: {left}")
            piece = bytes(range(256)) * 1024
            while left > 0 and method == "GET":
                writer.write(piece[:left])
                left -= len(piece)
                await writer.drain()
            continue
        if target == "/trailers":
            head("200 OK", "Transfer-Encoding: chunked", "Trailer: X-Sum")
            writer.write(b"2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n")
            continue
        if target == "/go":
            GO.set()
        if target == "/early":
            head("413 Content Too Large", "Content-Length: 4", "Connection: close")
            writer.write(b"full")
            writer.write_eof()
            # Closed with bytes that nobody has read, the system would reset it, and the answer with it.
            while await reader.read(65536):
                pass
            break
        text = await body(reader, fields)
        if target.startswith("/head"):
            text = "".join(f"{name}: {fields[name]}\n" for name in names)
            text = f"{method} {target}\n{text}".encode()
        head("200 OK", f"Content-Length: {len(text)}", "Server: test", "X-Served-By: me")
        if method != "HEAD":
            writer.write(text)
        await writer.drain()
    writer.close()


async def safe(reader, writer):
    try:
        await answer(reader, writer)
    except (EOFError, ConnectionError, asyncio.IncompleteReadError):
        writer.close()


async def main():
    server = await asyncio.start_server(safe, "127.0.0.1", int(sys.argv[1]), limit=1 << 18)
    print("ready", flush=True)
    await server.serve_forever()


asyncio.run(main())
