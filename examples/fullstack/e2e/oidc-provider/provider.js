// npm oidc-provider, the engine inside Logto, set up so that the unmodified
// @logto/react takes it for Logto: a second opinion beside the emulator, for tests.
// Its accounts and their passwords are below.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { errors, Provider } from 'oidc-provider';
import { createMemoryAdapter } from 'oidc-provider/lib/adapters/memory_adapter.js';
import { errorPage, signInPage, signOutPage } from './pages.js';
import { sendWebhook } from './webhook.js';

// User IDs look like Logto's. The scopes are what the user's roles grant.
const users = [
  { username: 'alice', password: 'alice', id: 'k3v9d0alice1', name: 'Alice', scopes: [] },
  { username: 'martha', password: 'martha', id: 'm4n7martha02', name: 'Martha', scopes: ['read:reports'] },
];

// All permissions of the API resource. What a user has not is dropped silently
// from the token, as Logto does.
const resourceScopes = ['read:reports'];

const mount = '/oidc';
const hour = 3600;

// startProvider listens on a loopback port. What it returns can rotate the keys, go
// down and come back. webhook is { url, signingKey }; without it none are sent.
export async function startProvider({ endpoint, port, page, resource, clientId, webhook }) {
  let keys = [newKey()];
  let server;
  const accounts = users.map((one) => ({ ...one, suspended: false, createdAt: Date.now(), updatedAt: Date.now() }));
  const cookieKeys = [randomBytes(32).toString('hex')];
  const { adapter, revokeAll } = revocableMemory();

  const signIn = {
    accounts,
    accessTokenTTL: hour,
    tokenStatus: undefined, // what the token endpoint answers instead of tokens
    keysServedAt: 0, // ms; when the key set was fetched last

    // As Logto rotates: the new key signs at once, the one before stays published.
    rotate() {
      keys = [newKey(), keys[0]];
      provider = newProvider();
    },
    // What an administrator does. All are done when the webhook has been answered.
    // As in Logto, a suspended user's tokens and sessions end for good; what was
    // issued before does not come back with the user.
    async suspend(username) {
      await change(username, 'is-suspended', 'User.SuspensionStatus.Updated', async (account) => {
        account.suspended = true;
        await revokeAll(account.id);
      });
    },
    async unsuspend(username) {
      await change(username, 'is-suspended', 'User.SuspensionStatus.Updated', (account) => void (account.suspended = false));
    },
    // As in Logto, refresh tokens survive a new password.
    async setPassword(username, password) {
      await change(username, 'password', 'User.Data.Updated', (account) => void (account.password = password));
    },
    async start() {
      if (server?.listening) return;
      server = createServer(handle);
      await new Promise((resolve, reject) => {
        server.once('error', reject);
        server.listen(port, '127.0.0.1', resolve);
      });
    },
    async stop() {
      if (!server?.listening) return;
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };

  async function change(username, route, event, apply) {
    const account = accounts.find((one) => one.username === username);
    if (!account) throw new Error(`There is no account ${username}.`);
    await apply(account);
    account.updatedAt = Date.now();
    if (webhook) await sendWebhook(webhook, event, route, account);
  }

  function newProvider() {
    const p = new Provider(`${endpoint}${mount}`, {
      adapter,
      jwks: { keys },
      cookies: { keys: cookieKeys },
      scopes: ['openid', 'offline_access', 'profile'],
      claims: { openid: ['sub'], profile: ['name', 'username'] },
      conformIdTokenClaims: false, // claims of the profile in the ID token
      clientBasedCORS: (_ctx, origin) => origin === page,
      clients: [
        {
          client_id: clientId,
          redirect_uris: [`${page}/callback`],
          post_logout_redirect_uris: [`${page}/`],
          grant_types: ['authorization_code', 'refresh_token'],
          response_types: ['code'],
          token_endpoint_auth_method: 'none',
          id_token_signed_response_alg: 'ES384',
        },
      ],
      enabledJWA: { idTokenSigningAlgValues: ['ES384'] },
      features: {
        devInteractions: { enabled: false },
        clientCredentials: { enabled: false },
        dPoP: { enabled: false },
        introspection: { enabled: false },
        revocation: { enabled: true, allowedPolicy: async (_ctx, client, token) => token.clientId === client.clientId },
        rpInitiatedLogout: { enabled: true, logoutSource: (ctx, form) => void (ctx.body = signOutPage(form)) },
        resourceIndicators: {
          enabled: true,
          // Without a resource in the token request, the token is opaque.
          defaultResource: () => undefined,
          useGrantedResource: () => false,
          getResourceServerInfo: (_ctx, indicator) => {
            if (indicator !== resource) throw new errors.InvalidTarget();
            return {
              scope: resourceScopes.join(' '),
              audience: resource,
              accessTokenFormat: 'jwt',
              accessTokenTTL: signIn.accessTokenTTL,
              jwt: { sign: { alg: 'ES384' } },
            };
          },
        },
      },
      // A user without permissions has an empty scope in the token, not none.
      formats: { customizers: { jwt: (_ctx, _token, { payload }) => void (payload.scope ??= '') } },
      findAccount: (_ctx, id) => {
        const account = accounts.find((one) => one.id === id);
        return account && { accountId: id, claims: () => ({ sub: id, name: account.name, username: account.username }) };
      },
      interactions: { url: (_ctx, interaction) => `/sign-in/${interaction.uid}` },
      renderError: (ctx, out) => {
        ctx.type = 'html';
        ctx.body = errorPage(out.error_description ?? out.error, page);
      },
      ttl: {
        AccessToken: (_ctx, token) => token.resourceServer?.accessTokenTTL ?? hour,
        AuthorizationCode: 60,
        IdToken: hour,
        Interaction: hour,
        Grant: 14 * 24 * hour,
        RefreshToken: 14 * 24 * hour,
        Session: 14 * 24 * hour,
      },
    });
    // Logto's errors have these two as well, and the SDK reads no others.
    p.use(async (ctx, next) => {
      await next();
      const error = ctx.status >= 400 && ctx.body?.error;
      if (error) ctx.body = { code: `oidc.${error}`, message: ctx.body.error_description ?? error, ...ctx.body };
    });
    p.on('server_error', (_ctx, error) => console.error('sign-in:', error));
    return p;
  }
  let provider = newProvider();

  function handle(req, res) {
    const [pathname] = req.url.split('?');
    if (pathname.startsWith(`${mount}/`)) {
      if (pathname === `${mount}/token` && signIn.tokenStatus) {
        res.writeHead(signIn.tokenStatus, { 'Access-Control-Allow-Origin': page }).end();
        return;
      }
      if (pathname === `${mount}/jwks`) signIn.keysServedAt = Date.now();
      req.originalUrl = req.url;
      req.url = req.url.slice(mount.length);
      provider.callback()(req, res);
      return;
    }
    if (pathname.startsWith('/sign-in/')) {
      interact(req, res).catch((error) => {
        console.error('sign-in:', error.message);
        html(res, 400, errorPage('This sign-in has expired or was begun in another window.', page));
      });
      return;
    }
    html(res, 404, errorPage('There is nothing here.', page));
  }

  // interact shows the form, takes what was typed, and gives consent without
  // asking, as Logto does for applications of the tenant itself.
  async function interact(req, res) {
    const { uid, prompt, params, session, grantId } = await provider.interactionDetails(req, res);
    if (prompt.name === 'consent') {
      const grant = (grantId && (await provider.Grant.find(grantId)))
        || new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
      grant.addOIDCScope('openid offline_access profile');
      const granted = accounts.find((one) => one.id === session.accountId)?.scopes ?? [];
      grant.addResourceScope(resource, granted.join(' '));
      grant.rejectResourceScope(resource, resourceScopes.filter((scope) => !granted.includes(scope)).join(' '));
      return provider.interactionFinished(req, res, { consent: { grantId: await grant.save() } }, { mergeWithLastSubmission: true });
    }
    if (req.method !== 'POST') {
      return html(res, 200, signInPage({ action: `/sign-in/${uid}`, accounts }), page);
    }
    const form = new URLSearchParams(await body(req));
    if (form.has('cancel')) {
      return provider.interactionFinished(req, res, { error: 'access_denied', error_description: 'The sign-in was cancelled.' });
    }
    const username = form.get('username')?.trim() ?? '';
    const account = accounts.find((one) => one.username === username && one.password === form.get('password'));
    const refuse = (failure) => html(res, 401, signInPage({ action: `/sign-in/${uid}`, accounts, username, failure }), page);
    if (!account) return refuse('There is no such account with this password.');
    if (account.suspended) return refuse('This account is suspended.');
    return provider.interactionFinished(req, res, { login: { accountId: account.id } });
  }

  await signIn.start();
  return signIn;
}

// revocableMemory is a memory for oidc-provider that knows what belongs to whom,
// so that all of a user's can be destroyed at once.
function revocableMemory() {
  const memory = createMemoryAdapter();
  const kinds = ['AccessToken', 'AuthorizationCode', 'Grant', 'RefreshToken', 'Session'];
  const owned = new Map(); // user ID to what destroys it
  return {
    adapter(kind) {
      const store = memory(kind);
      if (!kinds.includes(kind)) return store;
      const upsert = store.upsert.bind(store);
      store.upsert = async (id, payload, expiresIn) => {
        const { accountId } = payload;
        if (accountId) {
          if (!owned.has(accountId)) owned.set(accountId, new Map());
          owned.get(accountId).set(`${kind} ${id}`, () => store.destroy(id));
        }
        return upsert(id, payload, expiresIn);
      };
      return store;
    },
    async revokeAll(accountId) {
      const all = [...(owned.get(accountId)?.values() ?? [])];
      owned.delete(accountId);
      for (const destroy of all) await destroy();
    },
  };
}

function newKey() {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' });
  return { ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'ES384' };
}

async function body(req) {
  let text = '';
  for await (const chunk of req) {
    text += chunk;
    if (text.length > 10_000) throw new Error('form too long');
  }
  return text;
}

// page is the origin that the form's answer may redirect to.
function html(res, status, text, page = '') {
  res.writeHead(status, {
    'Content-Type': 'text/html; charset=utf-8',
    'Cache-Control': 'no-store',
    'Content-Security-Policy': `default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self' ${page}; frame-ancestors 'none'; base-uri 'none'`,
  });
  res.end(text);
}
