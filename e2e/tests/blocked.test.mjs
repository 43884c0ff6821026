// A network that drops UDP: the call goes over WebSocket by itself. Server and browsers run in a
// network namespace of the test's own.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { PEOPLE } from '../lib/media.mjs';
import { allTogether, leaveAll, meet } from '../lib/meet.mjs';
import { Server } from '../lib/processes.mjs';

const { ann, ben } = PEOPLE;
const root = process.getuid() === 0;
const namespace = `videocall-${process.pid}`;
const inside = ['ip', 'netns', 'exec', namespace];
const run = (...words) => execFileSync(words[0], words.slice(1), { env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` } });

describe('a network without UDP', { skip: root ? false : 'network namespaces need root' }, () => {
  let server;
  let people = [];
  let folder;
  before(async () => {
    run('ip', 'netns', 'add', namespace);
    run(...inside, 'ip', 'link', 'set', 'lo', 'up');
    folder = mkdtempSync(join(tmpdir(), 'videocall-netns-'));
    server = await Server.start({ prefix: inside });
    run(...inside, 'nft', 'add', 'table', 'inet', 'test');
    run(...inside, 'nft', 'add chain inet test input { type filter hook input priority 0; }');
    run(...inside, 'nft', `add rule inet test input udp dport ${server.mediaPort} counter drop`);
  });
  after(async () => {
    await leaveAll(people);
    await server?.stop();
    run('ip', 'netns', 'delete', namespace);
    rmSync(folder, { recursive: true, force: true });
  });

  test('the call works over WebSocket', async () => {
    const wrapper = join(folder, 'chromium');
    writeFileSync(wrapper, `#!/bin/sh\nexec ip netns exec ${namespace} /usr/bin/chromium "$@"\n`);
    chmodSync(wrapper, 0o755);
    people = await meet(server, 'no udp', [ann, ben], { wrapper });
    await allTogether(people);
    for (const person of people) assert.equal((await person.statistics()).transport, 'WebSocket');
    const dropped = run(...inside, 'nft', 'list', 'chain', 'inet', 'test', 'input').toString();
    assert.doesNotMatch(dropped, /packets 0 /, 'WebTransport was tried');
  });
});
