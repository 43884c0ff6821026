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

  test('the call works over WebSocket', async () => {
    const dropped = network.dropUdp(server.mediaPort);
    people = await meet(server, 'no udp', [ann, ben], { wrapper: network.browser });
    await allTogether(people);
    for (const person of people) assert.equal((await person.statistics()).transport, 'WebSocket');
    assert.ok(dropped() > 0, 'WebTransport was tried');
  });
});
