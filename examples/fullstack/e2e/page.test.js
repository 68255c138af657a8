// The whole system in a browser. No request is intercepted: what is tampered
// with, stopped and started are the parts themselves.
import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { start } from '../system.js';
import { browserTest, environment, header, heading, hello, launch, reports, signIn, tokens } from './harness.js';

let browser;
let system;
let origin;
let alice;
let martha;

before(async () => {
  // No leeway: an expired token is refused at once.
  system = await start({ env: await environment({ API_LEEWAY: '0s' }) });
  origin = system.settings.page;
  [alice, martha] = system.signIn.accounts;
  browser = await launch();
  // Vite prepares the page when it is first asked for.
  const page = await browser.newPage();
  await page.goto(origin, { timeout: 60_000 });
  await heading(page, 'Logto and a Go API');
  await page.close();
});

after(async () => {
  await browser?.close();
  await system?.stop();
});

const t = (name, fn) => browserTest(name, () => browser, fn);
const held = (page) => tokens(page, system.settings.clientId, system.settings.resource);

const helloAlice = 'Hello, k3v9d0alice1!';

t('who is not signed in does not see the protected page', async (page) => {
  const calls = callsTo(page, system.settings.api);
  await page.goto(`${origin}/protected`);
  await heading(page, 'Sign in to see this page');
  assert.equal(await page.getByRole('button', { name: 'Say hello' }).count(), 0);
  assert.equal(await page.getByRole('button', { name: 'Sign out' }).count(), 0);
  assert.equal(calls.length, 0);
});

t('a wrong password is refused, a cancelled sign-in leaves nobody signed in', async (page) => {
  await page.goto(origin);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByLabel('Username').fill('alice');
  await page.getByLabel('Password').fill('wrong');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('alert').getByText('no such account').waitFor();
  assert.equal(await page.getByLabel('Username').inputValue(), 'alice');
  await page.getByRole('button', { name: 'Cancel' }).click();
  await heading(page, 'You are not signed in');
  await page.getByRole('alert').getByText('The sign-in gave no result: The sign-in was cancelled.').waitFor();
  assert.deepEqual(await held(page).all(), []);
});

t('a callback that nobody waits for ends with a way out', async (page) => {
  await page.goto(`${origin}/callback?code=old&state=old`);
  await heading(page, 'You are not signed in');
  await page.getByRole('button', { name: 'Try again' }).waitFor();
});

t('sign in and call the API, by keyboard alone', async (page, log) => {
  await page.goto(origin);
  await heading(page, 'Logto and a Go API');
  await tabTo(page, 'link', 'Protected page');
  await page.keyboard.press('Enter');
  await heading(page, 'Sign in to see this page');
  // The heading gets the focus just after it is there.
  await page.waitForFunction(() => document.activeElement?.textContent === 'Sign in to see this page');
  await tabTo(page, 'button', 'Sign in');
  await page.keyboard.press('Enter');
  await page.getByLabel('Username').waitFor();
  await page.keyboard.type('alice'); // the field has the focus
  await page.keyboard.press('Tab');
  await page.keyboard.type('alice');
  await page.keyboard.press('Enter');
  await heading(page, 'Protected page');
  await page.getByRole('banner').getByText('Alice').waitFor();
  await tabTo(page, 'button', 'Say hello');
  await page.keyboard.press('Enter');
  assert.equal(await hello(page).answer(), helloAlice);
  assert.equal(await page.evaluate(() => document.activeElement?.textContent), 'Say hello');
  assert.deepEqual(log.filter((line) => /^(error|warning|uncaught)/.test(line)), []);
});

t('a missing permission is a 403 with its name, and no reason to sign in again', async (page) => {
  await signIn(page, origin, alice);
  assert.equal(await reports(page).ask(), 'You may not do this (403). It takes the permission read:reports, which your roles don’t grant.');
  assert.equal(await page.getByRole('button', { name: 'Sign in again' }).count(), 0);
  assert.equal(await hello(page).ask(), helloAlice);
});

t('who has the permission gets the reports', async (page) => {
  await signIn(page, origin, martha);
  assert.equal(await reports(page).ask(), '3 reports for m4n7martha02');
});

t('the page says that it is waiting', async (page) => {
  await signIn(page, origin, alice);
  const calls = callsTo(page, system.settings.api);
  const { button, status } = hello(page);
  process.kill(system.api.pid, 'SIGSTOP');
  try {
    await button.click();
    await status.getByText('Asking the API…').waitFor();
    assert.equal(await status.getAttribute('aria-busy'), 'true');
    assert.equal(await button.getAttribute('aria-disabled'), 'true');
    await button.press('Enter'); // does nothing
  } finally {
    process.kill(system.api.pid, 'SIGCONT');
  }
  assert.equal(await hello(page).answer(), helloAlice);
  assert.equal(await status.getAttribute('aria-busy'), 'false');
  assert.equal(await button.getAttribute('aria-disabled'), 'false');
  assert.equal(calls.length, 1);
});

t('after the sign-out the protected page is out of reach', async (page) => {
  await signIn(page, origin, alice);
  assert.equal(await hello(page).ask(), helloAlice);
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.waitForURL(`${origin}/`);
  await page.getByRole('heading', { name: 'Sign in first' }).waitFor();
  assert.deepEqual(await held(page).all(), []);
  await page.goBack();
  await heading(page, /Sign in to see this page|Signing out/);
  await page.goto(`${origin}/protected`);
  await heading(page, 'Sign in to see this page');
  assert.equal(await page.getByText(helloAlice).count(), 0);
  // The session at the sign-in has ended too: it asks for a password again.
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByLabel('Password').waitFor();
});

t('a tampered token is refused, and a new sign-in mends it', async (page) => {
  await signIn(page, origin, alice);
  assert.equal(await hello(page).ask(), helloAlice);
  const [head, payload, signature] = (await held(page).get()).split('.');
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString());
  const forged = Buffer.from(JSON.stringify({ ...claims, scope: 'read:reports' })).toString('base64url');
  await held(page).replace(`${head}.${forged}.${signature}`);
  assert.match(await reports(page).ask(), /did not accept the access token \(401\)\. The access token is not valid\./);
  await page.getByRole('button', { name: 'Sign in again' }).click();
  await heading(page, 'Protected page');
  assert.equal(await hello(page).ask(), helloAlice);
});

t('an expired token is refused; the SDK renews it in time', async (page) => {
  system.signIn.accessTokenTTL = 2;
  try {
    await signIn(page, origin, alice);
    assert.equal(await hello(page).ask(), helloAlice);
    const old = await held(page).get();
    await sleep(3200);
    assert.equal(await hello(page).ask(), helloAlice);
    assert.notEqual(await held(page).get(), old);
    // A browser whose clock is wrong would send the old one.
    await held(page).replace(old);
    assert.match(await hello(page).ask(), /did not accept the access token \(401\)\. The access token expired\./);
  } finally {
    system.signIn.accessTokenTTL = 3600;
  }
});

t('where the SDK has no token, the API is not asked', async (page) => {
  await signIn(page, origin, alice);
  await held(page).dropRefreshToken();
  await held(page).drop();
  const calls = callsTo(page, system.settings.api);
  assert.match(await hello(page).ask(), /^There is no access token\./);
  assert.equal(calls.length, 0);
  await page.getByRole('button', { name: 'Sign in again' }).click();
  await heading(page, 'Protected page');
  assert.equal(await hello(page).ask(), helloAlice);
});

t('a new signing key is accepted at once, the one before still', async (page) => {
  await signIn(page, origin, alice);
  assert.equal(await hello(page).ask(), helloAlice);
  const old = header(await held(page).get()).kid;
  // The API asks for keys every 10 s at most; be sure that it may.
  await sleep(Math.max(0, system.signIn.keysServedAt + 10_200 - Date.now()));
  const rotated = Date.now();
  system.signIn.rotate();
  assert.equal(await hello(page).ask(), helloAlice);
  assert.equal(header(await held(page).get()).kid, old);
  assert.ok(system.signIn.keysServedAt < rotated, 'a known key caused a fetch');

  await held(page).drop();
  assert.equal(await hello(page).ask(), helloAlice);
  assert.notEqual(header(await held(page).get()).kid, old);
  assert.ok(system.signIn.keysServedAt >= rotated, 'the new key caused no fetch');
});

t('while the sign-in is down, a token that was issued is accepted', async (page) => {
  await signIn(page, origin, alice);
  assert.equal(await hello(page).ask(), helloAlice);
  await system.signIn.stop();
  try {
    assert.equal(await hello(page).ask(), helloAlice);
    await page.reload();
    await heading(page, 'Protected page');
    assert.equal(await hello(page).ask(), helloAlice);
    assert.match(await reports(page).ask(), /\(403\)/);

    // Without it there is nothing to be had, and the page says so.
    await held(page).drop();
    assert.match(await hello(page).ask(), /^There is no access token\./);
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('alert').getByText('You are still signed in.').waitFor();
    await page.getByRole('button', { name: 'Sign in again' }).click();
    await page.getByRole('alert').getByText('The sign-in can’t be reached.').waitFor();
  } finally {
    await system.signIn.start();
  }
  assert.equal(await hello(page).ask(), helloAlice);
});

t('an API without keys signs nobody out', async (page) => {
  await signIn(page, origin, alice);
  assert.equal(await hello(page).ask(), helloAlice);
  await system.signIn.stop();
  await system.api.stop();
  try {
    assert.match(await hello(page).ask(), /^The API can’t be reached\./);
    await system.api.start();
    assert.equal(await hello(page).ask(), 'The API can’t check tokens now (503). You are still signed in. Try again in a moment.');
  } finally {
    await system.signIn.start();
  }
  await sleep(1100); // the API asks again 1 s after a failure
  assert.equal(await hello(page).ask(), helloAlice);
});

function callsTo(page, address) {
  const calls = [];
  page.on('request', (request) => request.url().startsWith(address) && calls.push(request.url()));
  return calls;
}

async function tabTo(page, role, name) {
  const target = page.getByRole(role, { name });
  for (let i = 0; i < 15; i++) {
    await page.keyboard.press('Tab');
    if (await target.evaluate((element) => element === document.activeElement)) return;
  }
  assert.fail(`the Tab key does not reach the ${role} ${name}`);
}
