// npm's ws as an echo server for our client; prints its address.
const { WebSocketServer } = require('ws');

const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: true }, () => {
  const { address, port } = server.address();
  console.log(`${address}:${port}`);
});
server.on('connection', (socket) => {
  socket.on('message', (data, binary) => socket.send(data, { binary }));
});
