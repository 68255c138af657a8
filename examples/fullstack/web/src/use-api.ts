import { useLogto } from '@logto/react';
import { useCallback, useRef, useState } from 'react';
import { settings } from './settings';

export type Answer =
  | { state: 'none' | 'loading' }
  | { state: 'good'; message: string }
  | { state: 'bad'; title: string; text: string; signInAgain?: boolean };

// useApi calls one endpoint of the API with the user's access token and says how
// that went, in words for the user.
export function useApi(path: string): [Answer, () => Promise<void>] {
  const { getAccessToken } = useLogto();
  const [answer, setAnswer] = useState<Answer>({ state: 'none' });
  const busy = useRef(false);

  const call = useCallback(async () => {
    if (busy.current) return;
    busy.current = true;
    setAnswer({ state: 'loading' });
    setAnswer(await ask(path, () => getAccessToken(settings.resource)));
    busy.current = false;
  }, [path, getAccessToken]);
  return [answer, call];
}

async function ask(path: string, getAccessToken: () => Promise<string | undefined>): Promise<Answer> {
  // useLogto throws nothing: where there is no token, it returns undefined.
  // Never send that word to the API.
  const token = await getAccessToken();
  if (!token) {
    return {
      state: 'bad',
      title: 'There is no access token.',
      text: 'Your session has ended, or the sign-in can’t be reached. Try again in a moment, or sign in again.',
      signInAgain: true,
    };
  }

  let response: Response;
  let body: unknown;
  try {
    response = await fetch(settings.api + path, {
      headers: { Authorization: `Bearer ${token}` },
      signal: AbortSignal.timeout(15_000),
    });
    body = await response.json();
  } catch {
    return { state: 'bad', title: 'The API can’t be reached.', text: 'Is it running? Does it allow this page’s origin (CORS)?' };
  }
  if (response.ok) return { state: 'good', message: text(body, 'message') };

  const description = text(body, 'error_description');
  switch (response.status) {
    case 401:
      return {
        state: 'bad',
        title: 'The API did not accept the access token (401).',
        text: `${description}. Sign in again.`,
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
