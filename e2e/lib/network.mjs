// Networks of the test's own: a namespace with nothing but a loopback interface, on which ports can be
// blocked, and two with a cable between them, which can be made slow. Only root can make them.
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Person } from './people.mjs';

const run = (...words) =>
  execFileSync(words[0], words.slice(1), { encoding: 'utf8', env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` } });

// Containers may refuse namespaces to root, too.
function refused() {
  if (process.getuid() !== 0) return 'network namespaces need root';
  const name = `videocall-${process.pid}-try`;
  try {
    run('ip', 'netns', 'add', name);
    run('ip', 'netns', 'delete', name);
    return false;
  } catch (error) {
    return `no network namespace: ${String(error.stderr ?? error).trim()}`;
  }
}

export const withoutNamespaces = refused();
if (withoutNamespaces) console.log(`SKIPPED: ${withoutNamespaces}`);

let made = 0;

export class Network {
  constructor() {
    this.name = `videocall-${process.pid}-${made++}`;
    // What is run within it begins with this.
    this.prefix = ['ip', 'netns', 'exec', this.name];
    run('ip', 'netns', 'add', this.name);
    this.run('ip', 'link', 'set', 'lo', 'up');
    this.folder = mkdtempSync(join(tmpdir(), 'videocall-netns-'));
    this.browser = join(this.folder, 'chromium');
    writeFileSync(this.browser, `#!/bin/sh\nexec ip netns exec ${this.name} "\${CHROMIUM:-/usr/bin/chromium}" "$@"\n`);
    chmodSync(this.browser, 0o755);
  }

  run(...words) {
    return run(...this.prefix, ...words);
  }

  // Drops what goes to a UDP port. Returns what tells how many packets that were.
  dropUdp(port) {
    this.run('nft', 'add', 'table', 'inet', 'test');
    this.run('nft', 'add chain inet test input { type filter hook input priority 0; }');
    this.run('nft', `add rule inet test input udp dport ${port} counter drop`);
    return () => Number(this.run('nft', 'list', 'chain', 'inet', 'test', 'input').match(/packets (\d+)/)[1]);
  }

  remove() {
    run('ip', 'netns', 'delete', this.name);
    rmSync(this.folder, { recursive: true, force: true });
  }
}

// Two networks: the server is at the far end of the cable between them, and so may people be.
export class Cable {
  #near = new Network();
  far = new Network();
  address = '10.78.0.2';

  constructor() {
    this.#near.run('ip', 'link', 'add', 'cable', 'type', 'veth', 'peer', 'name', 'cable', 'netns', this.far.name);
    for (const [network, address] of [[this.#near, '10.78.0.1'], [this.far, this.address]]) {
      network.run('ip', 'addr', 'add', `${address}/24`, 'dev', 'cable');
      network.run('ip', 'link', 'set', 'cable', 'up');
    }
  }

  // Where a server at the far end listens.
  get hosts() {
    return ['127.0.0.1', '[::1]', this.address];
  }

  // What `end`, near or far, sends into the cable from now on, behind a queue as home routers have it;
  // without a number as much as it likes.
  limit(end, kbps) {
    const network = end === 'near' ? this.#near : this.far;
    if (kbps) network.run('tc', 'qdisc', 'replace', 'dev', 'cable', 'root', 'tbf', 'rate', `${kbps}kbit`, 'burst', '4kb', 'latency', '400ms');
    else network.run('tc', 'qdisc', 'delete', 'dev', 'cable', 'root');
  }

  // A person at an end, and what they join the server by. A page gets the camera from a secure origin
  // only, such as localhost.
  async arrive(who, end, server) {
    const origin = end === 'far' ? server.origin : `http://${this.address}:${server.httpPort}`;
    const wrapper = (end === 'near' ? this.#near : this.far).browser;
    const person = await Person.start(who, { wrapper, args: [`--unsafely-treat-insecure-origin-as-secure=${origin}`] });
    person.via = { origin };
    return person;
  }

  remove() {
    this.#near.remove();
    this.far.remove();
  }
}
