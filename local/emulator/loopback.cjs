// Makes LocalStack's Kinesis (a Node program) listen on the loopback interface only; given to node with --require.
// It calls listen(port, host, callback) or listen(port, callback).
const net = require("node:net");

const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (port, ...rest) {
  if (typeof port !== "number") return listen.call(this, port, ...rest);
  return listen.call(this, port, "127.0.0.1", ...rest.filter((argument) => typeof argument !== "string"));
};
