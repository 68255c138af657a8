// npm start as a command: what it says, that it ends, and the four values.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after, before } from 'node:test';
import { fileURLToPath } from 'node:url';
import { browserTest, environment, freePorts, heading, hello, launch } from './harness.js';
import { startProvider } from './oidc-provider/provider.js';

let browser;
let directory;
before(async () => {
  browser = await launch();
  directory = await mkdtemp(join(tmpdir(), 'logto-fullstack-test-'));
});
after(async () => {
  await browser?.close();
  await rm(directory, { recursive: true, force: true });
});

test('a port that is taken', async () => {
  const env = await environment();
  const other = createServer().listen(Number(env.API_PORT), '127.0.0.1');
  try {
    const { status, stderr } = await run(env).ended;
    assert.equal(status, 1);
    assert.match(stderr, new RegExp(`Port ${env.API_PORT} is taken.*API_PORT=… npm start`));
  } finally {
    other.close();
  }
});

test('no Go', async () => {
  const { status, stderr } = await run(await environment({ PATH: directory })).ended;
  assert.equal(status, 1);
  assert.match(stderr, /There is no go command: API and emulator need Go/);
});

test('some of the four values', async () => {
  const { status, stderr } = await run(await environment({ LOGTO_ENDPOINT: 'https://tenant.logto.app', LOGTO_CLIENT_ID: ' ' })).ended;
  assert.equal(status, 1);
  assert.match(stderr, /not set: LOGTO_JWKS_URI, LOGTO_AUDIENCE, LOGTO_CLIENT_ID\./);
});

test('it prints the addresses, and Ctrl-C ends all three', async () => {
  const env = await environment();
  const command = run(env);
  const out = await command.started;
  for (const port of [env.PAGE_PORT, env.API_PORT, env.SIGN_IN_PORT]) assert.match(out, new RegExp(`http://localhost:${port}\\b`));
  const [control] = /http:\S+\/control/.exec(out);
  assert.match(await (await fetch(control)).text(), /<title>Control – Logto emulator<\/title>/);
  assert.equal((await fetch(`http://localhost:${env.PAGE_PORT}/protected`)).status, 200);
  assert.equal((await fetch(`http://localhost:${env.API_PORT}/api/hello`)).status, 401);
  assert.equal((await fetch(`http://localhost:${env.SIGN_IN_PORT}/emulator/oidc/jwks`)).status, 200);
  command.child.kill('SIGINT');
  assert.equal((await command.ended).status, 0);
  for (const port of [env.PAGE_PORT, env.API_PORT, env.SIGN_IN_PORT]) {
    await assert.rejects(fetch(`http://localhost:${port}/`), `something listens on ${port}`);
  }
});

// A tenant in all but name: another process's address, other values.
browserTest('with the four values in .env, page and API use that tenant', () => browser, async (page) => {
  const [port] = await freePorts(1);
  const tenant = { endpoint: `http://localhost:${port}`, resource: 'urn:example:tenant-api', clientId: 'tenant-app' };
  const file = join(directory, 'tenant.env');
  await writeFile(file, [
    `LOGTO_ENDPOINT=${tenant.endpoint}/oidc/`, // the issuer does as well
    `LOGTO_JWKS_URI=${tenant.endpoint}/oidc/jwks`,
    `LOGTO_AUDIENCE=${tenant.resource}`,
    `LOGTO_CLIENT_ID=${tenant.clientId}`,
  ].join('\n'));
  const env = await environment({ ENV_FILE: file });
  const origin = `http://localhost:${env.PAGE_PORT}`;
  const provider = await startProvider({ ...tenant, port, page: origin });
  const command = run(env);
  try {
    assert.match(await command.started, new RegExp(`Logto +${tenant.endpoint} +from .env`));
    await assert.rejects(fetch(`http://localhost:${env.SIGN_IN_PORT}/`), 'there is an emulator');
    const refused = await fetch(`http://localhost:${env.API_PORT}/api/hello`);
    assert.equal(refused.headers.get('WWW-Authenticate'), `Bearer realm="${tenant.endpoint}/oidc"`);
    await page.goto(`${origin}/protected`);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByLabel('Username').fill('alice');
    await page.getByLabel('Password').fill('alice');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await heading(page, 'Protected page');
    assert.equal(await hello(page).ask(), 'Hello, k3v9d0alice1!');
    // Without a signing key there is no webhook that anybody could call.
    assert.equal((await fetch(`http://localhost:${env.API_PORT}/logto/webhook`, { method: 'POST' })).status, 404);
    assert.equal(await page.getByRole('link', { name: 'control page' }).count(), 0);
  } finally {
    command.child.kill('SIGINT');
    await command.ended;
    await provider.stop();
  }
});

// run starts the command; started resolves with what it has said when it is up.
function run(env) {
  const child = spawn(process.execPath, [fileURLToPath(new URL('../start.js', import.meta.url))], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stderr.on('data', (chunk) => (stderr += chunk));
  const ended = new Promise((resolve) => child.once('close', (status) => resolve({ status, stdout, stderr })));
  const started = new Promise((resolve, reject) => {
    child.stdout.on('data', (chunk) => {
      stdout += chunk;
      if (stdout.includes('Ctrl-C')) resolve(stdout);
    });
    ended.then(() => reject(new Error(`it ended: ${stderr}`)));
  });
  started.catch(() => {});
  return { child, started, ended };
}
