"""Python's websockets as a client of our echo server: python websockets_client.py ADDRESS"""
import asyncio
import sys

import websockets

MESSAGES = ["", "a", "héllo ✓", "x" * 125, "x" * 126, "x" * 65535, "x" * 65536, b"", b"\x00\xff" * 5000]


async def echo(address, compression):
    async with websockets.connect(f"ws://{address}/echo", compression=compression, max_size=None) as socket:
        for message in MESSAGES:
            await socket.send(message)
            assert await socket.recv() == message
        await socket.send(["frag", "men", "ts"])
        assert await socket.recv() == "fragments"
        pong = await socket.ping(b"are you there")
        await asyncio.wait_for(pong, 30)
        await socket.close(1000, "done")
        assert socket.close_code == 1000, socket.close_code
        return socket.protocol.extensions


async def main():
    address = sys.argv[1]
    assert not await echo(address, None)
    assert await echo(address, "deflate"), "permessage-deflate was negotiated"
    # More at once than one turn of the server takes.
    async with websockets.connect(f"ws://{address}/echo", max_size=None) as socket:
        for number in range(1000):
            await socket.send(str(number))
        for number in range(1000):
            assert await socket.recv() == str(number)
    # A message beyond the limit is answered with 1009.
    try:
        async with websockets.connect(f"ws://{address}/echo", compression=None) as socket:
            await socket.send("x" * 200_000)
            await socket.recv()
        raise AssertionError("the message was too large")
    except websockets.exceptions.ConnectionClosed as closed:
        assert closed.rcvd.code == 1009, closed
    print("agreed")


asyncio.run(main())
