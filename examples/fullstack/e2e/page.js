// The whole system in a browser, with the engine of that name in the place of Logto.
// No request is intercepted: what is tampered with, stopped and started are the parts
// themselves.
import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startEngine } from './engines.js';
import { browserTest, header, heading, hello, launch, opened, reports, signedOut, tabTo, tokens, watch } from './harness.js';

const name = process.env.ENGINE;
let browser;
let engine;
let logto;
let system;
let origin;

before(async () => {
  // No leeway: an expired token is refused at once.
  engine = await startEngine(name, { API_LEEWAY: '0s' });
  ({ system, logto } = engine);
  origin = system.settings.page;
  browser = await launch();
  await opened(browser, origin);
});

after(async () => {
  await browser?.close();
  await engine?.stop();
});

const t = (title, fn) => browserTest(`${name}: ${title}`, () => browser, fn);
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

t('a cancelled sign-in leaves nobody signed in', async (page) => {
  await page.goto(origin);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await engine.cancel(page);
  await heading(page, 'You are not signed in');
  await page.getByRole('alert').getByText(`The sign-in gave no result: ${engine.canceled}`).waitFor();
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
  await tabTo(page, page.getByRole('link', { name: 'Protected page' }));
  await page.keyboard.press('Enter');
  await heading(page, 'Sign in to see this page');
  // The heading gets the focus just after it is there.
  await page.waitForFunction(() => document.activeElement?.textContent === 'Sign in to see this page');
  await tabTo(page, page.getByRole('button', { name: 'Sign in' }));
  await page.keyboard.press('Enter');
  await engine.chooseByKeyboard(page, 'alice');
  await heading(page, 'Protected page');
  await page.getByRole('banner').getByText('Alice').waitFor();
  await tabTo(page, page.getByRole('button', { name: 'Say hello' }));
  await page.keyboard.press('Enter');
  assert.equal(await hello(page).answer(), helloAlice);
  assert.equal(await page.evaluate(() => document.activeElement?.textContent), 'Say hello');
  assert.deepEqual(log.filter((line) => /^(error|warning|uncaught)/.test(line)), []);
});

t('a missing permission is a 403 with its name, and no reason to sign in again', async (page) => {
  await engine.signIn(page, 'alice');
  assert.equal(await reports(page).ask(), 'You may not do this (403). It takes the permission read:reports, which your roles don’t grant.');
  assert.equal(await page.getByRole('button', { name: 'Sign in again' }).count(), 0);
  assert.equal(await hello(page).ask(), helloAlice);
});

t('who has the permission gets the reports', async (page) => {
  await engine.signIn(page, 'martha');
  assert.equal(await reports(page).ask(), '3 reports for m4n7martha02');
});

t('the page says that it is waiting', async (page) => {
  await engine.signIn(page, 'alice');
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
  await engine.signIn(page, 'alice');
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
  // The session at the sign-in has ended too: it asks again who is there.
  await page.getByRole('button', { name: 'Sign in' }).click();
  await engine.asks(page);
});

t('a tampered token is refused, and the page gets another', async (page) => {
  await engine.signIn(page, 'alice');
  assert.equal(await hello(page).ask(), helloAlice);
  const [head, payload, signature] = (await held(page).get()).split('.');
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString());
  const forged = Buffer.from(JSON.stringify({ ...claims, scope: 'read:reports' })).toString('base64url');
  await held(page).replace(`${head}.${forged}.${signature}`);
  const { same } = await watch(page, system.settings);
  assert.match(await reports(page).ask(), /\(403\)/);
  await same({ api: [401, 403], token: [200] });
});

t('an expired token is refused; the SDK renews it in time, and else the page does', async (page) => {
  await logto.lifetime(2);
  try {
    await engine.signIn(page, 'alice');
    assert.equal(await hello(page).ask(), helloAlice);
    const old = await held(page).get();
    await sleep(3200);
    const before = await watch(page, system.settings);
    assert.equal(await hello(page).ask(), helloAlice);
    await before.same({ api: [200], token: [200] });
    assert.notEqual(await held(page).get(), old);
    // A browser whose clock is wrong sends the old one.
    await held(page).replace(old);
    const { same } = await watch(page, system.settings);
    assert.equal(await hello(page).ask(), helloAlice);
    await same({ api: [401, 200], token: [200] });
  } finally {
    await logto.lifetime(3600);
  }
});

t('an API that refuses every token is asked twice, and nobody is signed out', async (page) => {
  await engine.signIn(page, 'alice');
  assert.equal(await hello(page).ask(), helloAlice);
  await system.api.stop();
  await system.api.start({ LOGTO_CLIENT_ID: 'another-app' });
  try {
    const { same } = await watch(page, system.settings);
    assert.equal(
      await hello(page).ask(),
      'The API accepts no access token (401). The access token is not valid; a new one did not help. Try again in a moment, or sign in again.',
    );
    await same({ api: [401, 401], token: [200] });
    await page.getByRole('button', { name: 'Sign in again' }).waitFor();
    await page.getByRole('button', { name: 'Sign out' }).waitFor();
  } finally {
    await system.api.stop();
    await system.api.start();
  }
  assert.equal(await hello(page).ask(), helloAlice);
});

t('where the SDK has no token and no way to one, the page signs the user out', async (page) => {
  await engine.signIn(page, 'alice');
  await held(page).dropRefreshToken();
  await held(page).drop();
  const { same } = await watch(page, system.settings);
  await hello(page).button.click();
  await signedOut(page);
  await same({ api: [], token: [] });
  await page.getByRole('button', { name: 'Sign in' }).click();
  await heading(page, 'Protected page');
  assert.equal(await page.getByText('You have been signed out.').count(), 0);
  assert.equal(await hello(page).ask(), helloAlice);
});

t('a new signing key is accepted at once, the one before still', async (page) => {
  await engine.signIn(page, 'alice');
  assert.equal(await hello(page).ask(), helloAlice);
  const old = header(await held(page).get()).kid;
  // The API asks for keys every 10 s at most; be sure that it may.
  await sleep(Math.max(0, (await logto.keysServedAt()) + 10_200 - Date.now()));
  const rotated = Date.now();
  await logto.rotate();
  assert.equal(await hello(page).ask(), helloAlice);
  assert.equal(header(await held(page).get()).kid, old);
  assert.ok((await logto.keysServedAt()) < rotated, 'a known key caused a fetch');

  await held(page).drop();
  assert.equal(await hello(page).ask(), helloAlice);
  assert.notEqual(header(await held(page).get()).kid, old);
  assert.ok((await logto.keysServedAt()) >= rotated, 'the new key caused no fetch');
});

t('while the sign-in is down, a token that was issued is accepted', async (page) => {
  await engine.signIn(page, 'alice');
  assert.equal(await hello(page).ask(), helloAlice);
  await logto.stop();
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
    await logto.start();
  }
  assert.equal(await hello(page).ask(), helloAlice);
});

t('a sign-in that fails signs nobody out', async (page) => {
  await engine.signIn(page, 'alice');
  assert.equal(await hello(page).ask(), helloAlice);
  await held(page).drop();
  const { same } = await watch(page, system.settings);
  await logto.failTokens(503);
  try {
    assert.match(await hello(page).ask(), /^There is no access token\./);
    await same({ api: [], token: [503] });
    await page.getByRole('button', { name: 'Sign out' }).waitFor();
  } finally {
    await logto.failTokens();
  }
  assert.equal(await hello(page).ask(), helloAlice);
});

t('an API without keys signs nobody out; the page waits and asks again', async (page) => {
  await engine.signIn(page, 'alice');
  assert.equal(await hello(page).ask(), helloAlice);
  const token = await held(page).get();
  await logto.stop();
  await system.api.stop();
  try {
    assert.match(await hello(page).ask(), /^The API can’t be reached\./);
    await system.api.start();
    const { seen } = await watch(page, system.settings);
    const { button, status } = hello(page);
    await button.click();
    await status.getByText(/The API can’t check tokens now \(503\)\. You are still signed in; it is asked again in \d+ s\./).waitFor();
    assert.equal(await status.getAttribute('aria-busy'), 'true');
    await button.press('Enter'); // does nothing
    await logto.start();
    assert.equal(await hello(page).answer(), helloAlice);
    assert.equal(seen.api.pop(), 200);
    assert.ok(seen.api.length >= 1 && seen.api.length <= 5 && seen.api.every((one) => one === 503), `${seen.api}`);
    assert.deepEqual(seen.token, []);
    assert.equal(await held(page).get(), token);
  } finally {
    await logto.start();
  }
});

t('an API that stays without keys is asked six times, a second apart', async (page) => {
  await engine.signIn(page, 'alice');
  assert.equal(await hello(page).ask(), helloAlice);
  const token = await held(page).get();
  await logto.stop();
  await system.api.stop();
  try {
    await system.api.start();
    const { same } = await watch(page, system.settings);
    const began = Date.now();
    assert.equal(await hello(page).ask(), 'The API can’t check tokens now (503). You are still signed in. Try again in a moment.');
    assert.ok(Date.now() - began >= 5000, 'it did not wait for Retry-After');
    await same({ api: Array(6).fill(503), token: [] });
    assert.equal(await held(page).get(), token);
  } finally {
    await logto.start();
  }
  assert.equal(await hello(page).ask(), helloAlice);
});

t('a suspended user is signed out by the next press, and comes back with a new sign-in', async (page) => {
  await engine.signIn(page, 'alice');
  assert.equal(await hello(page).ask(), helloAlice);
  const refreshToken = await held(page).refreshToken();
  await logto.suspend('alice');
  try {
    const suspended = Date.now();

    const { same } = await watch(page, system.settings);
    await hello(page).button.click();
    await signedOut(page);
    await same({ api: [401], token: [400] });
    assert.deepEqual(await held(page).all(), []);

    // Nor does the old session sign anybody in, nor a new one.
    await page.getByRole('button', { name: 'Sign in' }).click();
    assert.equal(await engine.refuses(page, 'alice'), true);

    await logto.unsuspend('alice');
    const refused = await refresh(refreshToken);
    assert.equal(refused.status, 400);
    assert.deepEqual((await refused.json()).code, 'oidc.invalid_grant');

    // Tokens are refused until 5 s after the suspension, as if they were older.
    await sleep(Math.max(0, suspended + 6000 - Date.now()));
    await engine.signIn(page, 'alice');
    assert.equal(await hello(page).ask(), helloAlice);
  } finally {
    await logto.unsuspend('alice');
  }
});

t('whoever signs in again within the 5 s is refused without a loop, and served after them', async (page) => {
  await logto.suspend('martha');
  await logto.unsuspend('martha');
  const suspended = Date.now();
  await engine.signIn(page, 'martha');
  const { seen } = await watch(page, system.settings);
  let answer = await reports(page).ask();
  if (Date.now() < suspended + 4000) {
    // On a slow machine the 5 s are over before.
    assert.match(answer, /^The API accepts no access token \(401\)\. The access token was revoked; a new one did not help\./);
    await page.waitForTimeout(1000);
    assert.deepEqual(seen.api, [401, 401, 401]);
    assert.equal(seen.token.length, 3); // the first, and two new ones
  }
  await sleep(Math.max(0, suspended + 6000 - Date.now()));
  answer = await reports(page).ask();
  assert.equal(answer, '3 reports for m4n7martha02');
  assert.equal(seen.token.includes(400), false);
});

t('a suspended user whose token has just expired is signed out without asking the API', async (page) => {
  await engine.signIn(page, 'martha');
  await held(page).drop();
  await page.goto(origin);
  await page.goto(`${origin}/protected`); // no change of page gives the heading the focus
  await heading(page, 'Protected page');
  await logto.suspend('martha');
  try {
    const { same } = await watch(page, system.settings);
    await hello(page).button.click();
    await signedOut(page);
    await same({ api: [], token: [400] });
  } finally {
    await logto.unsuspend('martha');
  }
});

t('after a new password the page gets a new token, and the user sees nothing of it', async (page) => {
  await sleep(6000); // after the suspensions before
  await engine.signIn(page, 'martha');
  assert.equal(await reports(page).ask(), '3 reports for m4n7martha02');
  const old = await held(page).get();
  const { seen, same } = await watch(page, system.settings);
  await logto.setPassword('martha');
  assert.equal(await reports(page).ask(), '3 reports for m4n7martha02');
  await page.waitForTimeout(1500);
  // A new token of the second in which the password was set is refused too: then
  // there is one more, and no third.
  const twice = seen.api.length === 3;
  await same(twice ? { api: [401, 401, 200], token: [200, 200] } : { api: [401, 200], token: [200] });
  assert.notEqual(await held(page).get(), old);
  await page.getByRole('button', { name: 'Sign out' }).waitFor();

  // Two calls that are refused together.
  await sleep(1000 - (Date.now() % 1000)); // so that the next token is not of this second
  await logto.setPassword('martha');
  await sleep(1100);
  await Promise.all([reports(page).button.click(), hello(page).button.click()]);
  assert.equal(await reports(page).answer(), '3 reports for m4n7martha02');
  assert.equal(await hello(page).answer(), 'Hello, m4n7martha02!');
  await page.waitForTimeout(500);
  assert.equal(seen.token.length, 1, 'one new token for both');
});

function refresh(refreshToken) {
  const { endpoint, clientId } = system.settings;
  return fetch(`${endpoint}/oidc/token`, {
    method: 'POST',
    body: new URLSearchParams({ grant_type: 'refresh_token', client_id: clientId, refresh_token: refreshToken }),
  });
}

function callsTo(page, address) {
  const calls = [];
  page.on('request', (request) => request.url().startsWith(address) && calls.push(request.url()));
  return calls;
}
