"""Python's websockets as an echo server for our client; prints its address."""
import asyncio

import websockets


async def echo(socket):
    async for message in socket:
        await socket.send(message)


async def main():
    async with websockets.serve(echo, "127.0.0.1", 0, max_size=None, ping_interval=None) as server:
        print("{}:{}".format(*server.sockets[0].getsockname()), flush=True)
        await asyncio.get_running_loop().create_future()


asyncio.run(main())
