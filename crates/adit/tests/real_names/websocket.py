"""`websocket.py serve PORT` says back what it hears; `websocket.py ask PORT NAME` asks it through the gateway."""
import asyncio, sys
import websockets


async def echo(socket, *_):
    async for message in socket:
        await socket.send(message)


async def serve(port):
    async with websockets.serve(echo, "127.0.0.1", port, max_size=None):
        print("ready", flush=True)
        await asyncio.Future()


async def ask(port, name):
    url = f"ws://{name}/socket?x=1"
    async with websockets.connect(url, host="127.0.0.1", port=port, max_size=None) as socket:
        for message in ["hello", "", b"\x00\xff", "\u00e9" * 10_000, bytes(1 << 20)]:
            await socket.send(message)
            assert await socket.recv() == message
        await (await socket.ping())
    print("closed", socket.close_code)


if sys.argv[1] == "serve":
    asyncio.run(serve(int(sys.argv[2])))
else:
    asyncio.run(ask(int(sys.argv[2]), sys.argv[3]))
