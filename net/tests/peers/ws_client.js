// npm's ws as a client of our echo server: node ws_client.js ADDRESS
const assert = require('node:assert');
const { once } = require('node:events');
const WebSocket = require('ws');

const MESSAGES = ['', 'a', 'héllo ✓', 'x'.repeat(125), 'x'.repeat(126), 'x'.repeat(65535), 'x'.repeat(65536)];

async function echo(address, perMessageDeflate) {
  const socket = new WebSocket(`ws://${address}/echo`, { perMessageDeflate });
  await once(socket, 'open');
  for (const message of MESSAGES) {
    socket.send(message);
    const [data, binary] = await once(socket, 'message');
    assert.strictEqual(data.toString(), message);
    assert.strictEqual(binary, false);
  }
  const bytes = Buffer.alloc(10000, 0xff);
  socket.send(bytes);
  const [data, binary] = await once(socket, 'message');
  assert.ok(binary && data.equals(bytes));
  socket.send('frag', { fin: false });
  socket.send('ments', { fin: true });
  assert.strictEqual((await once(socket, 'message'))[0].toString(), 'fragments');
  socket.ping('are you there');
  assert.strictEqual((await once(socket, 'pong'))[0].toString(), 'are you there');
  socket.close(1000, 'done');
  assert.strictEqual((await once(socket, 'close'))[0], 1000);
  return socket.extensions;
}

(async () => {
  const address = process.argv[2];
  assert.strictEqual(await echo(address, false), '');
  assert.match(await echo(address, true), /permessage-deflate/);
  console.log('agreed');
})();
