// What call-with-token.ts does with each answer, how often and when. The clock is
// a mock: nothing is waited for.
import assert from 'node:assert/strict';
import test, { mock } from 'node:test';
import { fileURLToPath } from 'node:url';
import { runnerImport } from 'vite';

const { module } = await runnerImport(fileURLToPath(new URL('call-with-token.ts', import.meta.url)), { configFile: false });
const { withToken, NoTokenError } = module;

const ok = () => Response.json({ message: 'hello' });
const refused = (status, error, description, headers = {}) => () =>
  Response.json({ error, error_description: description }, { status, headers });
const revoked = refused(401, 'invalid_token', 'The access token was revoked');
const invalid = refused(401, 'invalid_token', 'The access token is not valid');
const expired = refused(401, 'invalid_token', 'The access token expired');
const unavailable = (retryAfter) => refused(503, 'temporarily_unavailable', 'later', retryAfter === undefined ? {} : { 'Retry-After': retryAfter });
// Without a body that can be read, as of another API, or of one that allows only the header.
const challenged = (challenge) => () => new Response('no', { status: 401, headers: { 'WWW-Authenticate': challenge } });

// answers are the API's, tokens the source's: a dropped one is followed by the next.
async function run({ answers, tokens = ['t1', 't2', 't3', 't4'], signal }) {
  mock.timers.enable({ apis: ['setTimeout'] });
  const log = [];
  const left = [...tokens];
  const source = {
    getToken: async () => left[0],
    dropToken: async () => void (log.push('drop'), left.length > 1 && left.shift()),
  };
  let n = 0;
  const call = withToken(source);
  let settled = false;
  const result = call(
    async (token) => {
      log.push(token);
      assert.ok(n < answers.length, `one request more than answers: ${log.join(' ')}`);
      return answers[n++]();
    },
    { signal, onWait: (seconds) => log.push(`wait ${seconds}`) },
  ).then(
    (response) => response.status,
    (error) => error.name,
  ).finally(() => (settled = true));
  try {
    // 100 ms at a time; what is logged is in which tenth of a second it happened.
    let tenths = 0;
    while (!settled && tenths < 2000) {
      for (let i = 0; i < 20; i++) await new Promise(setImmediate);
      if (settled) break;
      const before = log.length;
      mock.timers.tick(100);
      tenths++;
      for (let i = 0; i < 20; i++) await new Promise(setImmediate);
      if (log.length > before) log.splice(before, 0, `${tenths / 10} s`);
    }
    assert.ok(settled, `it has not ended: ${log.join(' ')}`);
    return `${log.join(' ')} = ${await result}`;
  } finally {
    mock.timers.reset();
  }
}

const table = [
  ['no token: the API is not asked', { tokens: [undefined], answers: [] }, ' = NoTokenError'],
  ['revoked, and no other token', { tokens: ['t1', undefined], answers: [revoked] }, 't1 drop = NoTokenError'],
  ['revoked for good: three requests', { answers: [revoked, revoked, revoked] }, 't1 drop t2 1.1 s drop t3 = 401'],
  ['invalid for good: two requests', { answers: [invalid, invalid] }, 't1 drop t2 = 401'],
  ['revoked, then invalid', { answers: [revoked, invalid] }, 't1 drop t2 = 401'],
  ['a source that has only the refused one', { tokens: ['t1'], answers: [invalid] }, 't1 drop = 401'],
  ['revoked, and another token', { answers: [revoked, ok] }, 't1 drop t2 = 200'],
  ['revoked, and another token of the same second', { answers: [revoked, revoked, ok] }, 't1 drop t2 1.1 s drop t3 = 200'],
  ['invalid, and another token', { answers: [invalid, ok] }, 't1 drop t2 = 200'],
  ['expired, and another token', { answers: [expired, ok] }, 't1 drop t2 = 200'],
  ['the header alone says it', { answers: [challenged('Bearer realm="r", error="invalid_token", error_description="The access token was revoked"'), ok] }, 't1 drop t2 = 200'],
  ['the header says it is none of the token', { answers: [challenged('Bearer realm="r"')] }, 't1 = 401'],
  ['the header speaks of another error', { answers: [challenged('Bearer other_error="invalid_token"')] }, 't1 = 401'],
  ['a 401 of somebody else', { answers: [refused(401, 'unauthorized', 'An access token is needed')] }, 't1 = 401'],
  ['a 401 without JSON', { answers: [() => new Response('<html>', { status: 401 })] }, 't1 = 401'],
  ['a 401 with null for JSON', { answers: [() => Response.json(null, { status: 401 })] }, 't1 = 401'],
  ['403 is the answer', { answers: [refused(403, 'insufficient_scope', 'The access token lacks a scope')] }, 't1 = 403'],
  ['a 403 that speaks of an invalid token', { answers: [refused(403, 'invalid_token', 'revoked')] }, 't1 = 403'],
  ['500 is the answer', { answers: [refused(500, 'server_error', '')] }, 't1 = 500'],
  ['503, then 200: the token is kept', { answers: [unavailable('3'), ok] }, 't1 wait 3 3 s t1 = 200'],
  ['503 for good: six requests', { answers: Array(6).fill(unavailable('1')) }, 't1 wait 1 1 s t1 wait 1 2 s t1 wait 1 3 s t1 wait 1 4 s t1 wait 1 5 s t1 = 503'],
  ['503 for half a minute', { answers: [unavailable('30'), ok] }, 't1 wait 30 30 s t1 = 200'],
  ['503 for longer', { answers: [unavailable('31')] }, 't1 = 503'],
  ['503 without Retry-After', { answers: [unavailable()] }, 't1 = 503'],
  ['503 with a date', { answers: [unavailable('Fri, 31 Dec 2027 23:59:59 GMT')] }, 't1 = 503'],
  ['503 at once', { answers: [unavailable('0')] }, 't1 = 503'],
  ['a 503 of the handler, which may have done something', { answers: [refused(503, 'server_error', '', { 'Retry-After': '1' })] }, 't1 = 503'],
  ['a 500 that comes with the words of a 503', { answers: [refused(500, 'temporarily_unavailable', '', { 'Retry-After': '1' })] }, 't1 = 500'],
  ['503, then revoked, then 200', { answers: [unavailable('1'), revoked, ok] }, 't1 wait 1 1 s t1 drop t2 = 200'],
  ['whoever leaves waits for nothing', { signal: AbortSignal.abort(), answers: [unavailable('3')] }, 't1 wait 3 = AbortError'],
  ['200', { answers: [ok] }, 't1 = 200'],
];
for (const [name, given, want] of table) {
  test(name, async () => assert.equal(await run(given), want));
}

test('leaving in a wait ends it', async () => {
  mock.timers.enable({ apis: ['setTimeout'] }); // and nobody moves the clock
  try {
    const leave = new AbortController();
    const result = withToken({ getToken: async () => 't1', dropToken: async () => {} })(async () => unavailable('3')(), {
      signal: leave.signal,
      onWait: () => setImmediate(() => leave.abort()),
    });
    await assert.rejects(result, { name: 'AbortError' });
  } finally {
    mock.timers.reset();
  }
});

test('a token that was renewed during a wait is the one that is sent', async () => {
  let current = 't1';
  const sent = [];
  const response = await withToken({ getToken: async () => current, dropToken: async () => {} })(
    async (token) => {
      sent.push(token);
      return token === 't1' ? unavailable('0.01')() : ok();
    },
    { onWait: () => (current = 't2') },
  );
  assert.deepEqual([response.status, ...sent], [200, 't1', 't2']);
});

test('the answer can still be read', async () => {
  const call = withToken({ getToken: async () => 't1', dropToken: async () => {} });
  const response = await call(async () => invalid());
  assert.deepEqual(await response.json(), { error: 'invalid_token', error_description: 'The access token is not valid' });
});

test('a failure of send or of the source is the caller’s', async () => {
  const call = withToken({ getToken: async () => 't1', dropToken: async () => {} });
  await assert.rejects(call(async () => Promise.reject(new TypeError('Failed to fetch'))), { message: 'Failed to fetch' });
  let fails = true;
  const flaky = withToken({
    getToken: async () => 't1',
    dropToken: async () => {
      if (fails) throw new Error('no storage');
    },
  });
  await assert.rejects(flaky(async () => revoked()), { message: 'no storage' });
  fails = false; // what has failed once is not remembered
  assert.equal((await flaky(async () => revoked())).status, 401);
});

test('calls that are refused together get their new token together', async () => {
  let current = 1;
  let drops = 0;
  const call = withToken({
    getToken: async () => {
      await new Promise(setImmediate);
      return `t${current}`;
    },
    dropToken: async () => {
      drops++;
      await new Promise(setImmediate);
      current++;
    },
  });
  const send = async (token) => (token === 't1' ? revoked() : ok());
  const slow = async (token) => {
    if (token === 't1') for (let i = 0; i < 50; i++) await new Promise(setImmediate);
    return send(token);
  };
  const all = await Promise.all([call(send), call(send), call(send), call(slow)]);
  assert.deepEqual(all.map((response) => response.status), [200, 200, 200, 200]);
  assert.equal(drops, 1);
});
