import { useCallback, useEffect, useRef, useState } from 'react';
import { NoTokenError } from './call-with-token';
import { useSession } from './session';
import { settings } from './settings';

export type Answer =
  | { state: 'none' | 'loading' }
  | { state: 'waiting'; seconds: number }
  | { state: 'good'; message: string }
  | { state: 'bad'; title: string; text: string; signInAgain?: boolean };

// useApi calls one endpoint of the API with the user's access token and says how
// that went, in words for the user.
export function useApi(path: string): [Answer, () => Promise<void>] {
  const { callApi } = useSession();
  const [answer, setAnswer] = useState<Answer>({ state: 'none' });
  const busy = useRef(false);
  const leaving = useRef(new AbortController());
  useEffect(() => {
    leaving.current = new AbortController();
    return () => leaving.current.abort();
  }, []);

  const call = useCallback(async () => {
    if (busy.current) return;
    busy.current = true;
    setAnswer({ state: 'loading' });
    const { signal } = leaving.current;
    setAnswer(
      await ask(() =>
        callApi(
          (token) =>
            fetch(settings.api + path, {
              headers: { Authorization: `Bearer ${token}` },
              signal: AbortSignal.any([signal, AbortSignal.timeout(15_000)]),
            }),
          { signal, onWait: (seconds) => setAnswer({ state: 'waiting', seconds }) },
        ),
      ),
    );
    busy.current = false;
  }, [path, callApi]);
  return [answer, call];
}

async function ask(call: () => Promise<Response>): Promise<Answer> {
  let response: Response;
  let body: unknown;
  try {
    response = await call();
    body = await response.json();
  } catch (error) {
    if (error instanceof NoTokenError) {
      return {
        state: 'bad',
        title: 'There is no access token.',
        text: 'Your session has ended, or the sign-in can’t be reached. Try again in a moment, or sign in again.',
        signInAgain: true,
      };
    }
    return { state: 'bad', title: 'The API can’t be reached.', text: 'Is it running? Does it allow this page’s origin (CORS)?' };
  }
  if (response.ok) return { state: 'good', message: text(body, 'message') };

  const description = text(body, 'error_description');
  switch (response.status) {
    case 401:
      return {
        state: 'bad',
        title: 'The API accepts no access token (401).',
        text: `${description}; a new one did not help. Try again in a moment, or sign in again.`,
        signInAgain: true,
      };
    case 403: {
      // Which scope is missing stands in the challenge; the API's CORS must expose it.
      const scope = /scope="([^"]*)"/.exec(response.headers.get('WWW-Authenticate') ?? '')?.[1];
      return {
        state: 'bad',
        title: 'You may not do this (403).',
        text: scope ? `It takes the permission ${scope}, which your roles don’t grant.` : `${description}.`,
      };
    }
    case 503:
      return { state: 'bad', title: 'The API can’t check tokens now (503).', text: 'You are still signed in. Try again in a moment.' };
    default:
      return { state: 'bad', title: `The API failed (${response.status}).`, text: description };
  }
}

function text(body: unknown, name: string): string {
  const value: unknown = typeof body === 'object' && body !== null ? (body as Record<string, unknown>)[name] : undefined;
  return typeof value === 'string' ? value : 'It gave no reason';
}
