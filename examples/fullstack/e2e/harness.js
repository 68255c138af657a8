import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const results = fileURLToPath(new URL('../test-results/', import.meta.url));

// The profile is a new one in each run, and each test has a context of its own.
export const launch = () =>
  chromium.launch({
    executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
    args: [
      '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
      '--disable-background-networking', '--disable-component-update', '--disable-sync',
    ],
  });

// browserTest gives fn a page; if fn fails, what the page showed is kept in
// test-results.
export function browserTest(name, browser, fn) {
  test(name, { timeout: 120_000 }, async () => {
    const context = await browser().newContext();
    context.setDefaultTimeout(20_000);
    const page = await context.newPage();
    const log = [];
    page.on('console', (message) => log.push(`${message.type()}: ${message.text()}`));
    page.on('pageerror', (error) => log.push(`uncaught: ${error.message}`));
    try {
      await fn(page, log);
    } catch (error) {
      await keep(name, page, log);
      throw error;
    } finally {
      await context.close();
    }
  });
}

async function keep(name, page, log) {
  const path = results + name.replaceAll(/[^a-z0-9]+/gi, '-').toLowerCase();
  await mkdir(results, { recursive: true });
  await writeFile(`${path}.txt`, `${page.url()}\n${log.join('\n')}\n`);
  await page.screenshot({ path: `${path}.png`, fullPage: true }).catch(() => {});
}

// environment is that of this process without what would make the test another
// one: a tenant of the developer's, ports.
export async function environment(more) {
  const env = { ...process.env };
  for (const name of Object.keys(env)) {
    if (/^LOGTO_|^API_LEEWAY$|_PORT$|^NODE_TEST_CONTEXT$/.test(name)) delete env[name];
  }
  const [page, api, signIn] = await freePorts(3);
  return { ...env, ENV_FILE: '/nonexistent', PAGE_PORT: `${page}`, API_PORT: `${api}`, SIGN_IN_PORT: `${signIn}`, ...more };
}

export async function freePorts(count) {
  const servers = await Promise.all(
    Array.from({ length: count }, () => new Promise((resolve) => {
      const server = createServer();
      server.listen(0, '127.0.0.1', () => resolve(server));
    })),
  );
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

export const heading = (page, name) => page.getByRole('heading', { level: 1, name }).waitFor();

// Vite prepares the page when it is first asked for.
export async function opened(browser, origin) {
  const page = await browser.newPage();
  await page.goto(origin, { timeout: 60_000 });
  await heading(page, 'Logto and a Go API');
  await page.close();
}

// signedOut is what a user sees whose session Logto has ended.
export async function signedOut(page) {
  await page.getByRole('alert').getByText('You have been signed out.').waitFor();
  await heading(page, 'Sign in to see this page');
  assert.equal(await page.getByRole('button', { name: 'Sign out' }).count(), 0);
  assert.equal(await page.getByRole('button', { name: 'Say hello' }).count(), 0);
  assert.equal(await page.evaluate(() => document.activeElement?.textContent), 'Sign in to see this page');
}

export async function tabTo(page, target) {
  for (let i = 0; i < 15; i++) {
    await page.keyboard.press('Tab');
    if (await target.evaluate((element) => element === document.activeElement)) return;
  }
  assert.fail(`the Tab key does not reach ${target}`);
}

export const hello = (page) => card(page, 'Hello', 'Say hello');
export const reports = (page) => card(page, 'Reports', 'Read the reports');

function card(page, name, buttonName) {
  const region = page.getByRole('region', { name });
  const button = region.getByRole('button', { name: buttonName });
  const status = region.getByRole('status');
  return {
    region, button, status,
    // ask presses the button and returns what the page then tells the user.
    async ask() {
      await button.click();
      return this.answer();
    },
    async answer() {
      await status.locator('.answer').waitFor();
      return (await status.innerText()).trim();
    },
  };
}

// What the SDK keeps in the browser. Its pages read it when they load.
export const tokens = (page, clientId, resource) => {
  const key = `logto:${clientId}:accessToken`;
  const entry = `@${resource}`;
  const read = () => page.evaluate((name) => JSON.parse(localStorage.getItem(name) ?? '{}'), key);
  const write = (map) => page.evaluate(([name, value]) => localStorage.setItem(name, value), [key, JSON.stringify(map)]);
  return {
    async get() {
      const map = await read();
      assert.ok(map[entry], 'the SDK holds no access token for the API');
      return map[entry].token;
    },
    // replace also makes the SDK take the token for a fresh one.
    async replace(token) {
      const map = await read();
      await write({ ...map, [entry]: { ...map[entry], token, expiresAt: Math.round(Date.now() / 1000) + 3600 } });
      await page.reload();
      await heading(page, 'Protected page');
    },
    async drop() {
      await write({});
      await page.reload();
      await heading(page, 'Protected page');
    },
    refreshToken: () => page.evaluate((name) => localStorage.getItem(name), `logto:${clientId}:refreshToken`),
    async dropRefreshToken() {
      await page.evaluate((name) => localStorage.removeItem(name), `logto:${clientId}:refreshToken`);
    },
    all: () => page.evaluate(() => Object.keys(localStorage).filter((name) => /token/i.test(name))),
  };
};

// watch counts from here on what the page asks of the API and of the token
// endpoint, by the statuses that it gets, and whether it is loaded anew.
export async function watch(page, { api, endpoint }) {
  const seen = { api: [], token: [] };
  page.on('response', (response) => {
    if (response.request().method() === 'OPTIONS') return;
    if (response.url().startsWith(`${api}/`)) seen.api.push(response.status());
    if (response.url() === `${endpoint}/oidc/token`) seen.token.push(response.status());
  });
  await page.evaluate(() => (window.sameDocument = true));
  return {
    seen,
    // same asserts what there was, once nothing more comes.
    async same(want) {
      await page.waitForTimeout(2500);
      assert.deepEqual(seen, want);
      assert.equal(await page.evaluate(() => window.sameDocument), true, 'the page was loaded anew');
      seen.api = [];
      seen.token = [];
    },
  };
}

export const header = (token) => JSON.parse(Buffer.from(token.split('.')[0], 'base64url').toString());
