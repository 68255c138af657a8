// What goes wrong at the press of a button of the emulator's control page, and what
// the user sees of it. With PICTURES set to a folder, pictures of it are put there.
import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startEngine } from './engines.js';
import { browserTest, header, heading, hello, launch, opened, reports, signedOut, tokens, watch } from './harness.js';

let browser;
let engine;
let logto;
let system;
before(async () => {
  engine = await startEngine('emulator', { API_LEEWAY: '0s' });
  ({ logto, system } = engine);
  browser = await launch();
  await opened(browser, system.settings.page);
});
after(async () => {
  await browser?.close();
  await engine?.stop();
});

// Each test begins with the description. The 6 s are the API's: it refuses tokens of
// the time of a suspension.
const t = (title, fn) => browserTest(title, () => browser, async (page) => {
  try {
    await fn(page);
  } finally {
    await logto.control('reset');
  }
});
const held = (page) => tokens(page, system.settings.clientId, system.settings.resource);

async function picture(page, name, of = page) {
  const folder = process.env.PICTURES;
  if (!folder) return;
  await mkdir(folder, { recursive: true });
  await page.setViewportSize({ width: 600, height: 560 });
  await page.waitForTimeout(300); // transitions
  await of.screenshot({ path: join(folder, `${name}.png`) });
}

// control opens the control page in another browser: an administrator's.
async function control() {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(`${system.settings.endpoint}/control`);
  await page.getByText('Ready.').waitFor();
  return {
    page,
    async press(name, within = page) {
      await within.getByRole('button', { name, exact: true }).click();
      await page.getByRole('status').getByText(': done').waitFor();
    },
    user: (name) => page.getByRole('row', { name: new RegExp(`^${name}`) }).filter({ has: page.getByRole('button', { name: 'Revoke grants' }) }),
    close: () => context.close(),
  };
}

const helloMartha = 'Hello, m4n7martha02!';
const noToken = /^There is no access token\. Your session has ended, or the sign-in can’t be reached\./;

t('sign in, call, be refused for a scope', async (page) => {
  await page.goto(`${system.settings.page}/protected`);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await engine.asks(page);
  await picture(page, 'sign-in');
  await engine.choose(page, 'alice');
  await heading(page, 'Protected page');
  assert.equal(await hello(page).ask(), 'Hello, k3v9d0alice1!');
  assert.equal(await reports(page).ask(), 'You may not do this (403). It takes the permission read:reports, which your roles don’t grant.');
  await picture(page, 'scope', reports(page).region);
});

t('a role that is taken away is missing from the next token', async (page) => {
  await engine.signIn(page, 'martha');
  assert.equal(await reports(page).ask(), '3 reports for m4n7martha02');
  await logto.control('user-roles', { user: 'm4n7martha02', roles: [] });
  assert.equal(await reports(page).ask(), '3 reports for m4n7martha02'); // by the token that she has
  await held(page).drop();
  assert.match(await reports(page).ask(), /^You may not do this \(403\)/);
});

t('suspended: signed out by the next press', async (page) => {
  const admin = await control();
  await engine.signIn(page, 'alice');
  assert.equal(await hello(page).ask(), 'Hello, k3v9d0alice1!');
  await admin.press('Suspend', admin.user('Alice'));
  await admin.user('Alice').getByText('suspended').waitFor();
  await picture(admin.page, 'control');
  const { same } = await watch(page, system.settings);
  await hello(page).button.click();
  await signedOut(page);
  await picture(page, 'suspended', page.locator('main'));
  await same({ api: [401], token: [400] });
  await admin.close();
});

t('a sign-out in one browser renews the tokens of the other, unnoticed', async (page) => {
  await engine.signIn(page, 'martha');
  const elsewhere = await (await browser.newContext()).newPage();
  await engine.signIn(elsewhere, 'martha');
  assert.equal(await hello(page).ask(), helloMartha);
  assert.equal(await hello(elsewhere).ask(), helloMartha);
  await elsewhere.getByRole('button', { name: 'Sign out' }).click();
  await elsewhere.getByRole('heading', { name: 'Sign in first' }).waitFor();
  await elsewhere.context().close();
  const { deliveries } = await logto.state();
  assert.deepEqual(deliveries.filter((one) => one.event === 'back-channel logout').map((one) => one.status), [200]);
  await sleep(1100); // a token of the same second would be refused as well
  const { same } = await watch(page, system.settings);
  assert.equal(await hello(page).ask(), helloMartha);
  await same({ api: [401, 200], token: [200] });
});

t('signed out everywhere: no webhook tells of it, so the access tokens that are held live on', async (page) => {
  const admin = await control();
  await engine.signIn(page, 'martha');
  const elsewhere = await (await browser.newContext()).newPage();
  await engine.signIn(elsewhere, 'martha');
  assert.equal(await hello(page).ask(), helloMartha);
  await admin.press('Revoke grants', admin.user('Martha'));
  assert.equal(await hello(page).ask(), helloMartha);
  await held(page).drop(); // what time does
  for (const one of [page, elsewhere]) {
    await hello(one).button.click();
    await one.getByRole('alert').getByText('You have been signed out.').waitFor();
  }
  await elsewhere.context().close();
  await admin.close();
});

t('rotated, to RSA, the previous key dropped: the user sees nothing', async (page) => {
  const admin = await control();
  await engine.signIn(page, 'martha');
  assert.equal(await hello(page).ask(), helloMartha);
  assert.equal(header(await held(page).get()).alg, 'ES384');
  await admin.press('Rotate to RSA');
  assert.equal(await hello(page).ask(), helloMartha);
  await held(page).drop();
  const { seen } = await watch(page, system.settings);
  assert.equal(await hello(page).ask(), helloMartha); // perhaps after a 503: the API fetches keys every 10 s at most
  assert.deepEqual([...new Set(seen.api)].filter((status) => status !== 503), [200]);
  assert.equal(header(await held(page).get()).alg, 'RS256');

  await admin.press('Rotate to ES384');
  await admin.press('Drop the previous key');
  await sleep(Math.max(0, (await logto.keysServedAt()) + 10_200 - Date.now()));
  await page.reload(); // see the next test
  await heading(page, 'Protected page');
  await held(page).drop();
  assert.equal(await hello(page).ask(), helloMartha);
  assert.equal(header(await held(page).get()).alg, 'ES384');
  await admin.close();
});

t('after a rotation the SDK finds no key for a while, and a reload cures it', async (page) => {
  await logto.lifetime(2);
  await engine.signIn(page, 'martha');
  assert.equal(await hello(page).ask(), helloMartha);
  await logto.rotate();
  await sleep(2500);
  assert.match(await hello(page).ask(), noToken);
  await page.getByRole('button', { name: 'Sign out' }).waitFor(); // nobody is signed out
  await page.reload();
  await heading(page, 'Protected page');
  await logto.lifetime(3600);
  assert.equal(await hello(page).ask(), helloMartha);
});

t('Logto hangs: the page gives up after 10 s, and nobody is signed out', async (page) => {
  await engine.signIn(page, 'martha');
  assert.equal(await hello(page).ask(), helloMartha);
  await logto.control('faults', { faults: [{ do: 'hang' }] });
  assert.equal(await hello(page).ask(), helloMartha); // nothing is needed of it
  await held(page).drop();
  const { same } = await watch(page, system.settings);
  await hello(page).button.click();
  await hello(page).status.getByText('Asking the API…').waitFor();
  assert.match(await hello(page).answer(), noToken);
  await picture(page, 'hangs', hello(page).region);
  await same({ api: [], token: [] });
  await page.getByRole('button', { name: 'Sign in again' }).click();
  await page.getByRole('alert').getByText('The sign-in can’t be reached.').waitFor();
  await logto.control('faults', { faults: [] });
  await page.reload();
  await heading(page, 'Protected page');
  assert.equal(await hello(page).ask(), helloMartha);
});

t('Logto’s keys hang for an API that has just started: the page waits with it', async (page) => {
  await engine.signIn(page, 'martha');
  assert.equal(await hello(page).ask(), helloMartha);
  await system.api.stop();
  await logto.control('faults', { faults: [{ at: 'jwks', do: 'hang' }] });
  await system.api.start();
  const { seen } = await watch(page, system.settings);
  await hello(page).button.click();
  await hello(page).status.getByText(/The API can’t check tokens now \(503\)\. You are still signed in; it is asked again in \d+ s\./).waitFor();
  await picture(page, 'waits', hello(page).region);
  await logto.control('faults', { faults: [] });
  assert.equal(await hello(page).answer(), helloMartha);
  assert.equal(seen.api.at(-1), 200);
  assert.deepEqual(seen.token, []);
});

for (const fault of [{ do: 'fail', status: 500 }, { do: 'html' }, { do: 'cut' }]) {
  t(`the token endpoint’s fault ${fault.do}: nobody is signed out`, async (page) => {
    await engine.signIn(page, 'martha');
    assert.equal(await hello(page).ask(), helloMartha);
    await held(page).drop();
    await logto.control('faults', { faults: [{ at: 'token', ...fault }] });
    assert.match(await hello(page).ask(), noToken);
    await page.getByRole('button', { name: 'Sign out' }).waitFor();
    await logto.control('faults', { faults: [] });
    assert.equal(await hello(page).ask(), helloMartha);
  });
}

t('a clock that is off by 10 minutes: no sign-in', async (page) => {
  await logto.control('clock', { seconds: 600 });
  await page.goto(`${system.settings.page}/protected`);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await engine.choose(page, 'martha');
  await heading(page, 'You are not signed in');
  await page.getByRole('alert').getByText('The sign-in gave no result: Invalid issued at time in the ID token').waitFor();
  await logto.control('clock', { seconds: 0 });
  await page.getByRole('button', { name: 'Try again' }).click();
  await heading(page, 'Protected page');
  assert.equal(await hello(page).ask(), helloMartha);
});

t('a user who is deleted is signed out', async (page) => {
  await engine.signIn(page, 'martha');
  assert.equal(await hello(page).ask(), helloMartha);
  await logto.control('delete-user', { user: 'm4n7martha02' });
  const { same } = await watch(page, system.settings);
  await hello(page).button.click();
  await signedOut(page);
  await same({ api: [401], token: [400] });
});
