// A network of the test's own: a namespace with nothing but a loopback interface, on which ports can
// be blocked or made slow. Only root can make one.
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

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
    // Packets as long as on a real network: a limit lets pass no longer ones.
    this.run('ip', 'link', 'set', 'lo', 'mtu', '1500', 'up');
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

  // Lets so much pass of what comes from a port, such as '300kbit'; again with another rate to
  // change it.
  limit(port, rate) {
    const shape = ['parent', '1:2', 'handle', '20:', 'tbf', 'rate', rate, 'burst', '5kb', 'limit', '24kb'];
    if (this.limited === port) return void this.run('tc', 'qdisc', 'replace', 'dev', 'lo', ...shape);
    this.limited = port;
    this.run('tc', 'qdisc', 'add', 'dev', 'lo', 'root', 'handle', '1:', 'prio', 'bands', '2', 'priomap', ...Array(16).fill('0'));
    this.run('tc', 'qdisc', 'add', 'dev', 'lo', ...shape);
    for (const [protocol, ip] of [['ip', 'ip'], ['ipv6', 'ip6']]) {
      this.run('tc', 'filter', 'add', 'dev', 'lo', 'parent', '1:', 'protocol', protocol, 'u32', 'match', ip, 'sport', String(port), '0xffff', 'flowid', '1:2');
    }
  }

  remove() {
    run('ip', 'netns', 'delete', this.name);
    rmSync(this.folder, { recursive: true, force: true });
  }
}
