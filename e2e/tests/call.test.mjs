// Two and three people see and hear each other, over both transports, on one node.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { PEOPLE } from '../lib/media.mjs';
import { allTogether, leaveAll, meet } from '../lib/meet.mjs';
import { Server } from '../lib/processes.mjs';

const { ann, ben, cho } = PEOPLE;

for (const transport of ['webtransport', 'websocket']) {
  describe(`two people over ${transport}`, () => {
    let server;
    let people = [];
    before(async () => (server = await Server.start()));
    after(async () => {
      await leaveAll(people);
      await server.stop();
    });

    test('see each other move and hear each other', async () => {
      people = await meet(server, `two-${transport}`, [ann, ben], { query: `?transport=${transport}` });
      const [a, b] = people;
      await Promise.all([a.sees(b), b.sees(a)]);
      await a.seesMoving(b);
      await b.seesMoving(a);
      await a.hears([b], people);
      await b.hears([a], people);
      const statistics = await b.statistics();
      const expected = transport === 'websocket' ? 'WebSocket' : 'WebTransport';
      assert.equal(statistics.transport, expected);
      console.log(`# ${transport}`, JSON.stringify(statistics));
    });
  });
}

describe('three people', () => {
  let server;
  let people = [];
  before(async () => (server = await Server.start()));
  after(async () => {
    await leaveAll(people);
    await server.stop();
  });

  test('see and hear both others', async () => {
    people = await meet(server, 'three', [ann, ben, cho]);
    await allTogether(people);
  });
});
