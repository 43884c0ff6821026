// A narrow uplink: Ann at one end of a cable, the server and Ben at the other.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { PEOPLE } from '../lib/media.mjs';
import { leaveAll } from '../lib/meet.mjs';
import { Cable, withoutNamespaces } from '../lib/network.mjs';
import { Server } from '../lib/processes.mjs';

// A grainy picture takes as many bits as it may.
const ann = { ...PEOPLE.ann, noise: 30 };
const { ben } = PEOPLE;
const seconds = 90;

describe('a narrow uplink', { skip: withoutNamespaces }, () => {
  let cable;
  let server;
  let people = [];
  before(async () => {
    cable = new Cable();
    server = await Server.start({ prefix: cable.far.prefix, hosts: cable.hosts });
    people = [await cable.arrive(ann, 'near', server), await cable.arrive(ben, 'far', server)];
    cable.limit('near', 256);
  });
  after(async () => {
    await leaveAll(people);
    await server?.stop();
    cable?.remove();
  });

  for (const transport of ['webtransport', 'websocket']) {
    test(`of 256 kbit/s carries Ann's picture and voice over ${transport}`, async (t) => {
      const [a, b] = people;
      const query = `?transport=${transport}`;
      await b.join(b.via, transport, { query });
      await a.join(a.via, transport, { query });
      await b.sees(a, { seconds });
      await b.seesMoving(a, { frames: 8, seconds });
      await b.hears([a], people, seconds);
      const { sentBps, publish } = await a.statistics();
      t.diagnostic(`Ann sends ${Math.round(sentBps / 1000)} kbit/s: ${publish.map(({ kind, height, bitrateBps }) => `${kind} ${height} ${Math.round(bitrateBps / 1000)}`).join(', ')}`);
      assert.ok(sentBps < 300_000, `${sentBps} bit/s`);
    });
  }
});
