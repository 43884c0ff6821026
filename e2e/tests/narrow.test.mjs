// Narrow paths, in network namespaces of the test's own: Ann behind a cable, the server and Ben at its
// other end.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { PEOPLE } from '../lib/media.mjs';
import { Person } from '../lib/people.mjs';
import { Server } from '../lib/processes.mjs';

// A grainy picture takes as many bits as it may.
const ann = { ...PEOPLE.ann, noise: 30 };
const { ben } = PEOPLE;
const root = process.getuid() === 0;
const FAR = '10.78.0.2';
const PATIENCE = 90;
const names = { near: `videocall-near-${process.pid}`, far: `videocall-far-${process.pid}` };
const inside = (end) => ['ip', 'netns', 'exec', names[end]];
const run = (...words) => execFileSync(words[0], words.slice(1), { env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` } });
const ip = (end, ...words) => run('ip', '-n', names[end], ...words);

// What one end sends into the cable, behind a queue as home routers have it.
const limit = (end, kbps) => run('tc', '-n', names[end], 'qdisc', 'replace', 'dev', 'cable', 'root', 'tbf', 'rate', `${kbps}kbit`, 'burst', '4kb', 'latency', '400ms');

describe('a narrow path', { skip: root ? false : 'network namespaces need root' }, () => {
  let server;
  let folder;
  const people = [];
  before(async () => {
    for (const end of ['near', 'far']) {
      run('ip', 'netns', 'add', names[end]);
      ip(end, 'link', 'set', 'lo', 'up');
    }
    ip('near', 'link', 'add', 'cable', 'type', 'veth', 'peer', 'name', 'cable', 'netns', names.far);
    for (const [end, address] of [['near', '10.78.0.1'], ['far', FAR]]) {
      ip(end, 'addr', 'add', `${address}/24`, 'dev', 'cable');
      ip(end, 'link', 'set', 'cable', 'up');
    }
    folder = mkdtempSync(join(tmpdir(), 'videocall-netns-'));
    server = await Server.start({ prefix: inside('far'), hosts: ['127.0.0.1', '[::1]', FAR] });
  });
  after(async () => {
    for (const person of people) await person.leave();
    await server?.stop();
    for (const end of ['near', 'far']) run('ip', 'netns', 'delete', names[end]);
    rmSync(folder, { recursive: true, force: true });
  });

  // A browser at one end. A page gets the camera from a secure origin only, such as localhost.
  async function arrive(who, end) {
    const wrapper = join(folder, `chromium-${end}`);
    writeFileSync(wrapper, `#!/bin/sh\nexec ip netns exec ${names[end]} /usr/bin/chromium "$@"\n`);
    chmodSync(wrapper, 0o755);
    const origin = end === 'far' ? server.origin : `http://${FAR}:${server.httpPort}`;
    const person = await Person.start(who, { wrapper, args: [`--unsafely-treat-insecure-origin-as-secure=${origin}`] });
    people.push(person);
    person.via = { origin };
    return person;
  }

  // Pictures of the other that move, and the tone of the other alone.
  async function followed(person, other) {
    await person.sees(other, { seconds: PATIENCE });
    await person.until(
      `${person.who.name} sees ${other.who.name} move`,
      async () => new Set((await person.watches(other)).map((frame) => frame.number)).size >= 8,
      PATIENCE,
    );
    await person.hears([other], [person, other], PATIENCE);
  }

  for (const transport of ['webtransport', 'websocket']) {
    test(`with an uplink of 256 kbit/s Ann is seen and heard over ${transport}`, async (t) => {
      const first = people[0] ?? (await arrive(ann, 'near'));
      const second = people[1] ?? (await arrive(ben, 'far'));
      limit('near', 256);
      const query = `?transport=${transport}`;
      await second.join(second.via, transport, { query });
      await first.join(first.via, transport, { query });
      await followed(second, first);
      const { sentBps, publish } = await first.statistics();
      t.diagnostic(`Ann sends ${Math.round(sentBps / 1000)} kbit/s: ${publish.map(({ kind, height, bitrateBps }) => `${kind} ${height} ${Math.round(bitrateBps / 1000)}`).join(', ')}`);
      assert.ok(sentBps < 300_000, `${sentBps} bit/s`);
    });
  }
});
