// Calls an API with an access token and acts on how the API refuses it. It needs
// no other file and no particular client: copy it.

/** Where tokens come from. For @logto/react, see session.tsx. */
export type TokenSource = {
  /** A token, from a cache or new; undefined if none is to be had. */
  getToken: () => Promise<string | undefined>;
  /** Empties the cache, so that the next getToken asks for a new one. */
  dropToken: () => Promise<unknown>;
};

export type CallOptions = {
  /** Called before each wait, so that the page can say for how long. */
  onWait?: (seconds: number) => void;
  /** Ends a wait; what it rejects with is signal.reason. */
  signal?: AbortSignal;
};

/** There is no token, or none instead of the one that was refused. */
export class NoTokenError extends Error {
  override name = 'NoTokenError';
}

// An outage of more than a few seconds is for the user to wait for.
const mostWaits = 5;
const longestWait = 30; // seconds

/**
 * Makes a function that calls an API and gives its answer. send makes one request
 * with the token that it is given, and may be called several times, each time with
 * the API having done nothing before:
 *
 * - 401 with error invalid_token: the token is dropped, a new one is asked for, and
 *   the request is sent once more. If the new one was revoked too, it is of the
 *   second of the revocation, for times in tokens are whole seconds; so that is done
 *   once again a second later. That is all: the next 401 is the answer.
 * - 503 with error temporarily_unavailable: the token is kept, and the request is
 *   sent again after Retry-After, up to five times.
 *
 * Where there is no token, the function rejects with a NoTokenError: whether the user
 * has to sign in again is for the caller to say. Make one function for all calls: those
 * that are refused at the same time then get their new token together.
 */
export function withToken(source: TokenSource) {
  let renewal: { refused: string; token: Promise<string | undefined> } | undefined;

  function renew(refused: string): Promise<string | undefined> {
    if (renewal?.refused === refused) return renewal.token;
    const token = (async () => {
      const held = await source.getToken();
      if (held !== refused) return held; // another call was faster
      await source.dropToken();
      return source.getToken();
    })();
    const mine = (renewal = { refused, token });
    const done = () => {
      if (renewal === mine) renewal = undefined;
    };
    token.then(done, done);
    return token;
  }

  return async function call(
    send: (token: string) => Promise<Response>,
    { onWait, signal }: CallOptions = {},
  ): Promise<Response> {
    let token = await source.getToken();
    let renewals = 0;
    let waits = 0;
    for (;;) {
      if (!token) throw new NoTokenError('there is no access token');
      const response = await send(token);
      if (response.ok) return response;
      const { error, description } = await readRefusal(response);

      if (response.status === 401 && error === 'invalid_token') {
        if (renewals === 2 || (renewals === 1 && !/revoked/.test(description))) return response;
        if (renewals === 1) await sleep(1.1, signal);
        renewals++;
        const renewed = await renew(token);
        if (renewed === token) return response; // the source goes on giving the refused one
        token = renewed;
      } else if (response.status === 503 && error === 'temporarily_unavailable') {
        const seconds = Number(response.headers.get('Retry-After'));
        if (waits === mostWaits || !(seconds > 0 && seconds <= longestWait)) return response;
        waits++;
        onWait?.(seconds);
        await sleep(seconds, signal);
        token = await source.getToken();
      } else {
        return response;
      }
    }
  };
}

// The challenge has it (RFC 6750 section 3), if the API's CORS exposes that header;
// the body of the Go package logto has it too. The response stays to be read.
async function readRefusal(response: Response): Promise<{ error: string; description: string }> {
  const challenge = response.headers.get('WWW-Authenticate') ?? '';
  const body: unknown = await response.clone().json().catch(() => undefined);
  const read = (name: string): string =>
    String(new RegExp(`\\b${name}="([^"]*)"`).exec(challenge)?.[1] ?? (body as Record<string, unknown> | null | undefined)?.[name] ?? '');
  return { error: read('error'), description: read('error_description') };
}

function sleep(seconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop);
      resolve();
    }, seconds * 1000);
    signal?.addEventListener('abort', stop, { once: true });
  });
}
