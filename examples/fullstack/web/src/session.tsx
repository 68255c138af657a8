import { LogtoClientError, LogtoProvider, LogtoRequestError, useLogto, type LogtoConfig } from '@logto/react';
import { createContext, useContext, useEffect, useMemo, useState, type ReactNode } from 'react';
import { withToken } from './call-with-token';
import { patience } from './patience';
import { settings } from './settings';

type Session = {
  /** Calls the API with the user's token: see call-with-token.ts. */
  callApi: ReturnType<typeof withToken>;
  /** This page has signed the user out because Logto gives no more tokens. */
  hasEnded: boolean;
};

const SessionContext = createContext<Session | undefined>(undefined);

export function useSession(): Session {
  const session = useContext(SessionContext);
  if (!session) throw new Error('useSession needs a SessionProvider around it');
  return session;
}

// SessionProvider is a LogtoProvider that notices when Logto has ended the session.
// useLogto's isAuthenticated is only read when a LogtoProvider begins; so, without a
// reload, the key makes a new one begin.
export function SessionProvider({ config, children }: { config: LogtoConfig; children: ReactNode }) {
  const [ended, setEnded] = useState(0);
  return (
    <LogtoProvider key={ended} config={config}>
      <Watch hasEnded={ended > 0} onEnd={() => setEnded(ended + 1)}>
        {children}
      </Watch>
    </LogtoProvider>
  );
}

function Watch({ hasEnded, onEnd, children }: { hasEnded: boolean; onEnd: () => void; children: ReactNode }) {
  const { isAuthenticated, error, getAccessToken, clearAccessToken, clearAllTokens } = useLogto();

  // The SDK's cache knows only of expiry: it has to be cleared of a token that the
  // API refuses.
  const callApi = useMemo(
    () =>
      withToken({
        // undefined for every failure, as of the SDK itself.
        getToken: () => patience(getAccessToken(settings.resource)).catch(() => undefined),
        dropToken: clearAccessToken,
      }),
    [getAccessToken, clearAccessToken],
  );

  const over = isAuthenticated && isOver(error);
  useEffect(() => {
    if (over) void clearAllTokens().then(onEnd);
  }, [over]);

  const session = useMemo(() => ({ callApi, hasEnded }), [callApi, hasEnded]);
  return <SessionContext value={session}>{children}</SessionContext>;
}

// getAccessToken gives undefined for each failure, and only error tells them apart:
// that Logto has refused the refresh token, or that there is none. Anything else,
// such as a Logto that can't be reached, is no reason to sign anybody out.
function isOver(error: Error | undefined): boolean {
  return (
    (error instanceof LogtoRequestError && error.code === 'oidc.invalid_grant') ||
    (error instanceof LogtoClientError && error.code === 'not_authenticated')
  );
}
