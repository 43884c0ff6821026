// A network that drops UDP: the call goes over WebSocket by itself.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { PEOPLE } from '../lib/media.mjs';
import { allTogether, leaveAll, meet } from '../lib/meet.mjs';
import { Network, withoutNamespaces } from '../lib/network.mjs';
import { Server } from '../lib/processes.mjs';

const { ann, ben } = PEOPLE;

describe('a network without UDP', { skip: withoutNamespaces }, () => {
  let network;
  let server;
  let people = [];
  before(async () => {
    network = new Network();
    server = await Server.start({ prefix: network.prefix });
  });
  after(async () => {
    await leaveAll(people);
    await server?.stop();
    network?.remove();
  });

  const joinMs = () => Promise.all(people.map((person) => person.until('it has joined', async () => (await person.statistics())?.joinMs)));

  test('the call works over WebSocket, without waiting for WebTransport to fail', async (t) => {
    const dropped = network.dropUdp(server.mediaPort);
    people = await meet(server, 'no udp', [ann, ben], { wrapper: network.browser });
    await allTogether(people);
    for (const person of people) assert.equal((await person.statistics()).transport, 'WebSocket');
    assert.ok(dropped() > 0, 'WebTransport was tried');
    const fell = await joinMs();
    await leaveAll(people);
    // The least that joining takes here: nothing else is tried.
    people = await meet(server, 'no udp', [ann, ben], { wrapper: network.browser, query: '?transport=websocket' });
    const floor = await joinMs();
    t.diagnostic(`joined after ${fell.map(Math.round)} ms, over WebSocket alone after ${floor.map(Math.round)} ms`);
    // A handshake of QUIC that nobody answers is given up after seconds. The better of two: a busy
    // machine makes some slower, never faster.
    assert.ok(Math.min(...fell) < Math.max(...floor) + 1000, `${fell} and ${floor} ms`);
  });
});
