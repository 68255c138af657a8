// Logto's SDKs and openid-client as npm has them, curl, and the page of the Encore
// guide, on the emulator.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import test, { after, before } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import * as oidc from 'openid-client';
import { pageConfig } from '../vite.config.js';
import { startEngine } from './engines.js';
import { browserTest, launch } from './harness.js';

const applications = [
  { id: 'web', type: 'Traditional', secret: 'web-secret', redirectUris: ['http://localhost/callback'], postLogoutRedirectUris: ['http://localhost/'] },
  { id: 'machine', type: 'MachineToMachine', secret: 'machine-secret', allowTokenExchange: true, roles: ['service'] },
];

let browser;
let engine;
let settings;
let origin;
before(async () => {
  engine = await startEngine('emulator', {}, sdkPages);
  ({ settings } = engine.system);
  origin = settings.page;
  browser = await launch();
  const { tenant } = await engine.logto.state();
  tenant.applications.push(...applications);
  tenant.roles.push({ name: 'service', type: 'MachineToMachine', scopes: { [settings.resource]: ['read:reports'] } });
  tenant.users.find((one) => one.username === 'martha').personalAccessTokens = [{ name: 'laptop', value: 'pat_martha' }];
  await engine.logto.control('tenant', tenant);
});
after(async () => {
  await browser?.close();
  await engine?.stop();
});

function sdkPages(settings) {
  const config = pageConfig(settings);
  return {
    ...config,
    root: fileURLToPath(new URL('sdks', import.meta.url)),
    plugins: [...config.plugins, encoreReadme(settings)],
    optimizeDeps: { noDiscovery: true, include: ['@logto/browser', '@logto/vue', '@logto/react', 'vue', 'react', 'react-dom/client', 'react/jsx-dev-runtime'] },
  };
}

// encoreReadme is the README's block of code, with this system's values in place of
// its own. The API here says message where Encore says Message.
function encoreReadme({ endpoint, clientId, resource, api }) {
  const name = fileURLToPath(new URL('sdks/encore-readme.tsx', import.meta.url));
  return {
    name: 'encore-readme',
    resolveId: (id) => (id === './encore-readme.tsx' ? name : undefined),
    load(id) {
      if (id !== name) return undefined;
      const readme = readFileSync(new URL('../../encore/README.md', import.meta.url), 'utf8');
      let [, code] = /```tsx\n(.*?)```/s.exec(readme);
      for (const [theirs, ours] of [
        ['https://your-tenant.logto.app', endpoint],
        ['<your-client-id>', clientId],
        ['https://api.encoreapp.com', resource],
        ['http://localhost:4000', api],
        ['.Message', '.message'],
      ]) {
        assert.ok(code.includes(theirs), `the README has no ${theirs}`);
        code = code.replaceAll(theirs, ours);
      }
      return code;
    },
  };
}

const t = (name, fn) => browserTest(name, () => browser, fn);

for (const [sdk, who, answer] of [
  ['browser', 'Signed in as m4n7martha02', '200 {"message":"3 reports for m4n7martha02"}'],
  ['vue', 'Signed in as m4n7martha02', '200 {"message":"3 reports for m4n7martha02"}'],
  ['encore', 'Signed in', 'Hello, m4n7martha02!'],
]) {
  t(`${sdk}: sign in, call, sign out`, async (page, log) => {
    const press = (name) => page.getByRole('button', { name }).click();
    await page.goto(`${origin}/?sdk=${sdk}`);
    await press('Sign in');
    await engine.choose(page, 'martha');
    await page.getByText(who).waitFor();
    await press('Call');
    await page.getByText(answer, { exact: true }).waitFor();
    if (sdk !== 'encore') {
      await press('Who');
      await page.getByText('martha', { exact: true }).waitFor();
    }
    await press('Sign out');
    await page.getByRole('button', { name: 'Sign in' }).waitFor();
    assert.deepEqual(log.filter((line) => /^(error|uncaught)/.test(line)), []);
    await press('Sign in');
    await engine.asks(page); // nobody's session is left
  });
}

t('encore: a token that is refused before its time', async (page) => {
  await page.goto(`${origin}/?sdk=encore`);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await engine.choose(page, 'alice');
  await page.getByText('Signed in').waitFor();
  const call = page.getByRole('button', { name: 'Call' });
  await call.click();
  await page.getByText('Hello, k3v9d0alice1!').waitFor();
  await engine.logto.suspend('alice');
  await call.click();
  await page.getByText('no access token').waitFor();
  await engine.logto.unsuspend('alice');
});

const discover = (id, secret) =>
  oidc.discovery(new URL(`${settings.endpoint}/oidc`), id, undefined, secret ? oidc.ClientSecretBasic(secret) : oidc.None(), {
    execute: [oidc.allowInsecureRequests, oidc.enableNonRepudiationChecks],
  });
const claims = (token) => JSON.parse(Buffer.from(token.split('.')[1], 'base64url'));

// A browser without pages: login_hint chooses the user.
async function authorize(config, { redirect, user, ...more }) {
  const verifier = oidc.randomPKCECodeVerifier();
  const [state, nonce] = [oidc.randomState(), oidc.randomNonce()];
  let url = oidc.buildAuthorizationUrl(config, {
    redirect_uri: redirect,
    scope: 'openid offline_access profile read:reports',
    resource: settings.resource,
    prompt: 'consent',
    code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    state,
    nonce,
    login_hint: user,
    ...more,
  });
  let cookie = '';
  for (let i = 0; i < 5 && !url.href.startsWith(redirect); i++) {
    const response = await fetch(url, { redirect: 'manual', headers: { Cookie: cookie } });
    cookie = response.headers.getSetCookie().map((one) => one.split(';')[0]).join('; ') || cookie;
    assert.ok(response.headers.has('Location'), `${response.status} of ${url}`);
    url = new URL(response.headers.get('Location'), url);
  }
  return oidc.authorizationCodeGrant(config, url, { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce, idTokenExpected: true });
}

for (const [id, secret, redirect] of [
  ['fullstack-example', undefined, () => `${origin}/callback`],
  ['web', 'web-secret', () => 'http://localhost/callback'],
]) {
  test(`openid-client, ${id}: code, userinfo, refresh with a resource, revocation, end of the session`, async () => {
    const config = await discover(id, secret);
    const tokens = await authorize(config, { redirect: redirect(), user: 'martha' });
    assert.equal(tokens.claims().sub, 'm4n7martha02');
    assert.match(tokens.access_token, /^[\w-]{43}$/); // opaque: no resource in the exchange
    assert.equal((await oidc.fetchUserInfo(config, tokens.access_token, 'm4n7martha02')).username, 'martha');

    const renewed = await oidc.refreshTokenGrant(config, tokens.refresh_token, { resource: settings.resource });
    const { aud, sub, client_id, scope } = claims(renewed.access_token);
    assert.deepEqual({ aud, sub, client_id, scope }, { aud: settings.resource, sub: 'm4n7martha02', client_id: id, scope: 'read:reports' });

    const refresh = renewed.refresh_token ?? tokens.refresh_token;
    await oidc.tokenRevocation(config, refresh);
    await assert.rejects(oidc.refreshTokenGrant(config, refresh), { error: 'invalid_grant' });

    const end = await fetch(oidc.buildEndSessionUrl(config, { id_token_hint: tokens.id_token, post_logout_redirect_uri: redirect().replace(/callback$/, '') }), { redirect: 'manual' });
    assert.equal(end.status, 303);
  });
}

test('openid-client: what is refused, is refused in its words', async () => {
  const config = await discover('web', 'web-secret');
  const redirect = 'http://localhost/callback';
  await assert.rejects(authorize(config, { redirect, user: 'martha', resource: 'https://other.example.com' }), { error: 'invalid_target' });
  await assert.rejects(oidc.refreshTokenGrant(config, 'nonsense'), { error: 'invalid_grant' });
  await assert.rejects(oidc.clientCredentialsGrant(await discover('machine', 'wrong'), { resource: settings.resource }), { status: 401, code: 'OAUTH_WWW_AUTHENTICATE_CHALLENGE' });
});

test('openid-client: client credentials, introspection, token exchange', async () => {
  const config = await discover('machine', 'machine-secret');
  const { access_token } = await oidc.clientCredentialsGrant(config, { resource: settings.resource, scope: 'read:reports' });
  const machine = claims(access_token);
  assert.deepEqual([machine.sub, machine.client_id, machine.scope], ['machine', 'machine', 'read:reports']);

  const exchanged = await oidc.genericGrantRequest(config, 'urn:ietf:params:oauth:grant-type:token-exchange', {
    subject_token: 'pat_martha',
    subject_token_type: 'urn:logto:token-type:personal_access_token',
    resource: settings.resource,
    scope: 'read:reports',
  });
  assert.equal(claims(exchanged.access_token).sub, 'm4n7martha02');

  const web = await discover('web', 'web-secret');
  const { access_token: opaque } = await authorize(web, { redirect: 'http://localhost/callback', user: 'martha' });
  assert.equal((await oidc.tokenIntrospection(web, opaque)).active, true);
});

test('curl: a machine’s token, which an API on the library accepts', async () => {
  const { stdout } = await promisify(execFile)('curl', [
    '-sS', `${settings.endpoint}/oidc/token`, '-u', 'machine:machine-secret',
    '-d', 'grant_type=client_credentials', '--data-urlencode', `resource=${settings.resource}`, '-d', 'scope=read:reports',
  ]);
  const { access_token, token_type, expires_in, scope } = JSON.parse(stdout);
  assert.deepEqual({ token_type, expires_in, scope }, { token_type: 'Bearer', expires_in: 3600, scope: 'read:reports' });
  const issued = (await engine.logto.state()).tokens.find((one) => one.token === access_token);
  assert.equal(issued.verdict.accepted, true);
  // This API is for users of one application.
  const call = await promisify(execFile)('curl', ['-sS', '-o', '/dev/null', '-w', '%{http_code}', `${settings.api}/api/hello`, '-H', `Authorization: Bearer ${access_token}`]);
  assert.equal(call.stdout, '401');
});
